"""JSON of the text routes: the body of `/v1/{task}` -> TextRequest, and Result -> the answer; models as JSON.

A body that is wrong raises one error: the value, then what was expected. Must not know tokenizers or routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from functions.messages import Result, TextInput
from functions.pipeline.request_limits import AS_JOB, REQUEST_LIMITS, RequestLimits, check_texts
from functions.pipeline.route import answers_unnamed
from functions.tasks.parse import expectation, parse_parameters, read_input, task_named
from functions.tasks.task import InputFields, TextRequest
from shared.catalog import Catalog, Head, Model
from shared.error_text import kind, shown
from shared.errors import BadRequest, TooLarge, Unprocessable
from shared.messages import Priority
from shared.protocol.head_outputs import declared_json

BODY_KEYS = ("inputs", "parameters", "model", "fallback")


def parse_request(
    task: str,
    body: object,
    *,
    tenant: str = "local",
    priority: Priority = "interactive",
    deadline_s: float = float("inf"),
    limits: RequestLimits = REQUEST_LIMITS,
) -> TextRequest:
    """Read the body of `/v1/{task}`: `inputs`, and optionally `parameters`, `model` and `fallback`.

    Raises BadRequest (not an object), NotFound (task), TooLarge (limits), Unprocessable (all else).
    """
    forms = task_named(task).parameters.input_forms
    if not isinstance(body, Mapping):
        raise BadRequest(f"got a body of type {kind(body)}, expected a JSON object with {_listed(BODY_KEYS)}")
    for key in body:
        if key not in BODY_KEYS:
            raise Unprocessable(f"unknown field {shown(key)}, expected {_listed(BODY_KEYS)}")
    inputs = read_inputs(body.get("inputs"), task, forms, limits)
    parameters = parse_parameters(task, body.get("parameters"))
    check_texts(parameters, inputs, limits)
    return TextRequest(
        task=task,
        inputs=inputs,
        parameters=parameters,
        model=read_model(body.get("model")),
        tenant=tenant,
        priority=priority,
        deadline_s=deadline_s,
        fallback=read_fallback(body.get("fallback")),
    )


def read_inputs(
    raw: object, task: str, forms: tuple[InputFields, ...], limits: RequestLimits = REQUEST_LIMITS
) -> tuple[TextInput, ...]:
    """Read `inputs`: one input in one of the forms, or a list of these. Raises TooLarge, Unprocessable."""
    if raw is None:
        raise Unprocessable(f'got no "inputs", expected {expectation(forms)}, or a list of these')
    if not isinstance(raw, list | tuple):
        raw = [raw]
    if not raw:
        raise Unprocessable("inputs: got an empty list, expected at least one text")
    if len(raw) > limits.max_inputs:
        raise TooLarge(f"got {len(raw)} inputs, at most {limits.max_inputs} in one request", hint=AS_JOB)
    return tuple(read_input(value, f"inputs[{i}]", task, forms) for i, value in enumerate(raw))


def read_model(value: object) -> str | None:
    """Read `model`: a reference, or None for the task's default. Raises Unprocessable."""
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise Unprocessable(f'model: got {kind(value) if value else "an empty name"}, expected "model" or "model:head"')
    return value


def read_fallback(value: object) -> bool:
    """Read `fallback`: whether the stand-in of the model may answer. Raises Unprocessable."""
    if value is not None and (not isinstance(value, str) or value not in {"allow", "never"}):
        raise Unprocessable(f'fallback: got {shown(value)}, expected "allow" or "never"')
    return value == "allow"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def result_json(task: str, result: Result) -> dict[str, Any]:
    """Return the answer of `/v1/{task}`: one result for each input. Lists in `usage` follow the order of inputs."""
    return {
        "model": result.model,
        "head": result.head,
        "task": task,
        "results": list(result.values),
        "usage": {
            "n_tokens": list(result.n_tokens),
            "n_windows": list(result.n_windows),
            "truncated": list(result.truncated),
        },
        "timings_ms": timings_ms(result.timings_s),
    }


def timings_ms(timings_s: Mapping[str, float]) -> dict[str, float]:
    """Return stage milliseconds with two decimals."""
    return {stage: round(seconds * 1000, 2) for stage, seconds in timings_s.items()}


def models_json(catalog: Catalog) -> dict[str, Any]:
    """Return the answer of `/v1/models`.

    `defaults` has, for each task, the `model:head` that answers when a request names no model. `object` and `data` are
    what clients of OpenAI read.
    """
    return {
        "object": "list",
        "data": [_openai_model(name) for name in catalog.models],
        "default_model": catalog.default_model,
        "defaults": {task: ":".join(answering) for task, answering in answers_unnamed(catalog).items()},
        "models": [model_json(model) for model in catalog.models.values()],
    }


def model_json(model: Model) -> dict[str, Any]:
    """Return what a caller may know of a model. Where its weights are stored is not part of it."""
    return {
        **_openai_model(model.name),
        "name": model.name,
        "revision": model.revision,
        "family": model.family,
        "lane": model.size_class,  # the old name, kept for callers
        "size_class": model.size_class,
        "dtype": model.dtype,
        "max_tokens": model.max_tokens,
        "vocab_size": model.vocab_size,
        "mask_token": model.mask_token,
        "languages": model.languages,
        "tokenizer_sha256": model.tokenizer_sha256,
        "tasks": sorted(model.tasks),
        "heads": {name: _head_json(head) for name, head in model.heads.items()},
    }


def _openai_model(name: str) -> dict[str, Any]:
    """Return a model as OpenAI lists it. Nobody knows when it was made: `created` is 0."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "glossa"}


def _head_json(head: Head) -> dict[str, Any]:
    """Return the facts of a head, with how its vectors are made where it makes them. Prompts are named."""
    tasks = list(head.tasks)
    found = {"task": head.task, "tasks": tasks, "labels": list(head.labels), "default": head.default}
    return found | declared_json(head)
