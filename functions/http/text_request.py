"""Reads the JSON body of `/v1/{task}` into a TextRequest, or raises one error: the value, then what was expected.

Types, limits and well-formed text are checked here, once. Must not know tokenizers or models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from functions.messages import TextInput
from functions.pipeline.request_limits import AS_JOB, REQUEST_LIMITS, RequestLimits, check_texts
from functions.tasks.inputs import expectation, read_input
from functions.tasks.registry import parse_parameters, task_named
from functions.tasks.task import InputFields, TextRequest
from shared.error_text import kind, shown
from shared.errors import BadRequest, TooLarge, Unprocessable
from shared.messages import Priority

BODY_KEYS = ("inputs", "parameters", "model")


def parse_request(
    task: str,
    body: object,
    *,
    tenant: str = "local",
    priority: Priority = "interactive",
    deadline_s: float = float("inf"),
    limits: RequestLimits = REQUEST_LIMITS,
) -> TextRequest:
    """Read the body of `/v1/{task}`: `inputs`, and optionally `parameters` and `model`.

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


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
