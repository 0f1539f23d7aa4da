"""Hugging Face's Inference API: a post without a task, answered with bare results as its clients read them.

The forms are those of `huggingface_hub.InferenceClient` and `@huggingface/inference`. Must not know how a task is done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from functions.http.compatible.fields import Flag, ForeignBody, Ignored, Never, checked_head, without_nulls
from functions.messages import Result
from functions.tasks.parse import task_named
from functions.tasks.registry import TASKS
from shared.catalog import Catalog, Model, split_reference
from shared.errors import BadRequest, Unprocessable
from shared.strict_json import whole_numbers

# The field of an object in `inputs` that names its task.
_OF_FIELD: Mapping[str, str] = {
    "question": "question-answering",
    "source_sentence": "sentence-similarity",
    "query": "rerank",
    "choices": "multiple-choice",
}
_NEEDS_OBJECT = frozenset(_OF_FIELD.values())
_ROOT = ("normalize", "prompt_name", "truncate", "truncation_direction", "dimensions", "encoding_format")
_RENAMED = {"truncate": "truncation"}
# What `truncation_direction` and `encoding_format` may be without effect.
_USUAL = {"truncation_direction": ("right", "Right"), "encoding_format": ("float",)}
_DRAWS = ("temperature", "top_k", "top_p")  # any of them means sampling, as in text-generation-inference
_ANY_MASK = "<mask>"


class HuggingFaceBody(ForeignBody):
    """`inputs` in a form of the task, and its `parameters`. Those of feature-extraction may stand beside `inputs`."""

    inputs: Annotated[object, Field(description="a text, an object of the task, or a list of these")]
    parameters: dict[str, Any] = Field(default={}, description="those of the task; null counts as left out")
    options: Ignored = None
    model: Ignored = None
    stream: Never = False
    normalize: Flag | None = None
    prompt_name: str | None = None
    truncate: Flag | None = None
    truncation_direction: Literal["right", "Right"] | None = None
    dimensions: object = None
    encoding_format: Literal["float"] | None = None

    def given(self) -> dict[str, Any]:
        """Return all parameters that were given, by the names of our tasks; `1.0` is 1."""
        beside = {name: value for name in _ROOT if (value := getattr(self, name)) is not None}
        found = without_nulls(self.parameters) | beside
        usual = {name for name, values in _USUAL.items() if found.get(name) in values}
        kept = {_RENAMED.get(name, name): value for name, value in found.items() if name not in usual}
        return {name: whole_numbers(value) for name, value in kept.items()}


def head_tasks(reference: str, catalog: Catalog) -> tuple[Model, Collection[str]]:
    """Return a model, and the tasks of the named head, or of all its heads. Raises NotFound, Unprocessable."""
    name, head = split_reference(reference)
    model = catalog.model(name)
    if head is None:
        return model, model.tasks
    return model, checked_head(model, head).tasks


def choose_task(body: HuggingFaceBody, model: Model, tasks: Collection[str]) -> str:
    """Return the only task of `tasks` that the body fits. Raises Unprocessable when there are none, or several.

    An object in `inputs` names its task by its fields. A text with a mask is for fill-mask. Parameters leave only the
    tasks that have them.
    """
    first = body.inputs[0] if isinstance(body.inputs, list) and body.inputs else body.inputs
    given = body.given()
    fitting = sorted(task for task in tasks if _fits(task, first, given, model))
    if "fill-mask" in fitting:
        return "fill-mask"
    if len(fitting) == 1:
        return fitting[0]
    found = (
        f"got a body that fits {', '.join(fitting)}"
        if fitting
        else f"got a body for none of {', '.join(sorted(tasks))}"
    )
    raise Unprocessable(
        f"{found}, expected one for exactly one task",
        hint=f"name a head, /hf/{model.name}:HEAD, or the task, /hf/{model.name}/TASK",
    )


def _fits(task: str, first: object, given: Collection[str], model: Model) -> bool:
    fields = TASKS[task].parameters.model_fields
    if not set(given) <= {*fields, *_NOT_USED} if task == "text-generation" else not set(given) <= set(fields):
        return False
    if any(field.is_required() and name not in given for name, field in fields.items()):
        return False
    named = [_OF_FIELD[name] for name in first if name in _OF_FIELD] if isinstance(first, Mapping) else []
    if named or task in _NEEDS_OBJECT:
        return task in named
    return task != "fill-mask" or _has_mask(first, model)


def _has_mask(value: object, model: Model) -> bool:
    text = value.get("text") if isinstance(value, Mapping) else value
    return isinstance(text, str) and (_ANY_MASK in text or (model.mask_token or _ANY_MASK) in text)


def request(task: str, body: HuggingFaceBody, reference: str) -> dict[str, Any]:
    """Return the body of the task. Raises NotFound (task), BadRequest for what a generating model does not read."""
    task_named(task)
    given = body.given()
    if task == "text-classification":
        given = {"top_k": None} | given
    if task == "text-generation":
        given = _generation(given)
    return {"inputs": body.inputs, "model": reference, "parameters": given}


_NOT_USED = (
    "adapter_id", "best_of", "decoder_input_details", "details", "frequency_penalty", "grammar", "repetition_penalty",
    "stop", "stop_sequences", "top_n_tokens", "truncation", "typical_p", "watermark",
)  # fmt: skip


def _generation(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of text-generation. The client leaves out what the error names, and tells its user."""
    unused = [name for name in _NOT_USED if given.get(name)]
    if unused:
        named = ", ".join(f"'{'truncate' if name == 'truncation' else name}'" for name in unused)
        raise BadRequest(f"The following `model_kwargs` are not used by the model: [{named}]")
    wanted = {name: value for name, value in given.items() if name not in _NOT_USED}
    draws = any(name in wanted for name in _DRAWS)
    return {"return_full_text": False, **({"do_sample": True} if draws else {}), **wanted}


def completions(given: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return the body of a completion as Hugging Face means it: for the named model, and sampled on request alone."""
    usual = {} if any(given.get(name) is not None for name in _DRAWS) else {"do_sample": False}
    return usual | without_nulls(given) | {"model": reference}


def answer(task: str, body: HuggingFaceBody, result: Result) -> object:
    """Return the bare results: that of the only input, or a list of them when a list came."""
    values = [_value(task, body, value) for value in result.values]
    if task == "zero-shot-classification" and len(values) == 1:
        return values[0]  # @huggingface/inference sends a list of one text, and expects its labels alone
    return values if isinstance(body.inputs, list) or task == "text-classification" else values[0]


def _value(task: str, body: HuggingFaceBody, value: Any) -> object:
    if task == "zero-shot-classification":
        return [{"label": label, "score": score} for label, score in zip(value["labels"], value["scores"], strict=True)]
    if task == "question-answering" and body.given().get("top_k", 1) != 1 and not isinstance(value, list):
        return [value]
    return value
