"""The door of the desks: a JSON body -> TextRequest, or one error that names the value and what was expected.

Bounds, types and well-formed text are checked here, once. Must not know tokenizers, models or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from functions.tasks.inputs import expectation, kind, n_characters, read_input, well_formed
from functions.tasks.registry import SCHEMAS, TASKS
from functions.tasks.task import TaskParameters
from shared.error_text import expected, got, shown
from shared.errors import BadRequest, NotFound, TooLarge, Unprocessable
from shared.messages import Priority, TextInput, TextRequest

AS_JOB = "send fewer or shorter texts, or the whole as a batch job: POST /v1/jobs"
BODY_KEYS = ("inputs", "parameters", "model")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much one request may carry: inputs, the texts read for them, and Unicode code points over all these texts.

    Labels, choices and documents each count as a text, and what is read beside them is read once for each.
    """

    max_inputs: int = 512
    max_texts: int = 4096
    max_chars: int = 1_000_000


BOUNDS = RequestLimits()


def parse_request(
    task: str,
    body: object,
    *,
    tenant: str = "local",
    priority: Priority = "interactive",
    deadline_s: float = float("inf"),
    bounds: RequestLimits = BOUNDS,
) -> TextRequest:
    """Read the JSON body of `/v1/{task}`: `inputs`, and optionally `parameters` and `model`.

    Raises BadRequest (not an object), NotFound (task), TooLarge (bounds), Unprocessable (the rest).
    """
    schema_of(task)
    if not isinstance(body, Mapping):
        raise BadRequest(f"got a body of type {kind(body)}, expected a JSON object with {_listed(BODY_KEYS)}")
    for key in body:
        if key not in BODY_KEYS:
            raise Unprocessable(f"unknown field {shown(key)}, expected {_listed(BODY_KEYS)}")
    inputs = _inputs(body.get("inputs"), task, bounds)
    parameters = parse_parameters(task, body.get("parameters"))
    _check_bounds(parameters, inputs, bounds)
    return TextRequest(
        task=task,
        inputs=inputs,
        parameters=parameters.model_dump(),
        model=_model(body.get("model")),
        tenant=tenant,
        priority=priority,
        deadline_s=deadline_s,
    )


def schema_of(task: str) -> type[TaskParameters]:
    """Return the parameter class of a task. Raises NotFound with the tasks there are."""
    if task not in SCHEMAS:
        raise NotFound(f"no task {shown(task)}; tasks: {_listed(TASKS)}")
    return SCHEMAS[task]


def input_names(task: str) -> frozenset[str]:
    """Return every name that a task has for a part of its inputs. Raises NotFound."""
    return frozenset(name for spelling in schema_of(task).input_forms for name in spelling.names)


def parse_parameters(task: str, value: object) -> TaskParameters:
    """Read a task's `parameters` (None: all defaults). Raises NotFound (task), Unprocessable."""
    schema = schema_of(task)
    value = {} if value is None else value
    if not isinstance(value, Mapping):
        raise Unprocessable(f"parameters: got {kind(value)}, expected an object")
    for name in value:
        if name not in schema.model_fields:
            known = _listed(schema.model_fields)
            raise Unprocessable(f"unknown parameter {shown(name)} of {task}; parameters: {known}")
    try:
        parameters = schema.model_validate(dict(value))
    except ValidationError as error:
        raise Unprocessable(_fault(error.errors()[0])) from None
    for name, text in _texts(parameters):
        well_formed(text, f"parameters.{name}")
    return parameters


def parse_input(value: object, where: str, task: str) -> TextInput:
    """Read one input: a text, or an object under one of the task's spellings; what is null counts as left out.

    `where` names the input in messages. Raises Unprocessable, TooLarge, NotFound (task).
    """
    return read_input(value, where, task, schema_of(task).input_forms)


def _inputs(raw: object, task: str, bounds: RequestLimits) -> tuple[TextInput, ...]:
    if raw is None:
        raise Unprocessable(f'got no "inputs", expected {expectation(schema_of(task).input_forms)}, or a list of these')
    if not isinstance(raw, list | tuple):
        raw = [raw]
    if not raw:
        raise Unprocessable("inputs: got an empty list, expected at least one text")
    if len(raw) > bounds.max_inputs:
        raise TooLarge(f"got {len(raw)} inputs, at most {bounds.max_inputs} in one request", hint=AS_JOB)
    return tuple(parse_input(value, f"inputs[{i}]", task) for i, value in enumerate(raw))


def _check_bounds(parameters: TaskParameters, inputs: Sequence[TextInput], bounds: RequestLimits) -> None:
    """Bound what the model would read: of three labels, each is read beside the text."""
    n_texts, n_chars, n_expanded = n_characters(parameters, inputs, bounds.max_chars)
    if n_texts > bounds.max_texts:
        found = f"got {n_texts} texts to read for {len(inputs)} inputs"
        raise TooLarge(f"{found}, at most {bounds.max_texts} in one request", hint=AS_JOB)
    if n_expanded > bounds.max_chars:
        standing = f" that stand for {n_expanded}" if n_expanded > n_chars else ""
        found = f"got {n_chars} characters of text{standing}"
        raise TooLarge(f"{found}, at most {bounds.max_chars} in one request", hint=AS_JOB)


def _model(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise Unprocessable(f'model: got {kind(value) if value else "an empty name"}, expected "model" or "model:head"')
    return value


def _texts(parameters: TaskParameters) -> Iterator[tuple[str, str]]:
    for name, value in parameters:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                yield name, text


def _fault(error: ErrorDetails) -> str:
    where = ".".join(map(str, ("parameters", *error["loc"])))
    if error["type"] == "missing":
        return f"got no {where}, expected some"
    return f"{where}: got {got(error)}, expected {expected(error)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
