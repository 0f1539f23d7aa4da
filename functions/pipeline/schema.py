"""The door of the desks: a JSON body -> TextRequest, or one error that names the value and what was expected.

Bounds, types and well-formed text are checked here, once. Must not know tokenizers, models or HTTP.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from functions.pipeline.schemas import SCHEMAS, TASKS
from functions.pipeline.schemas.parameters import Common
from shared.errors import BadRequest, NotFound, TooLarge, Unprocessable
from shared.messages import Priority, TextInput, TextRequest

AS_JOB = "send fewer or shorter texts, or the whole as a batch job: POST /v1/jobs"
MOST_EXPANDED = 18  # code points that NFKC makes of one, at most: U+FDFA
BODY_KEYS = ("inputs", "parameters", "model")
_SAID_BEFORE = re.compile(r"^\w+ should (?:be|have) ")  # what pydantic says ahead of the expectation


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one request may carry: texts, and Unicode code points over all of them."""

    max_inputs: int = 512
    max_chars: int = 1_000_000


BOUNDS = Bounds()


def parse_request(
    task: str,
    body: object,
    *,
    tenant: str = "local",
    priority: Priority = "interactive",
    deadline_s: float = float("inf"),
    bounds: Bounds = BOUNDS,
) -> TextRequest:
    """Read the JSON body of `/v1/{task}`: `inputs`, and optionally `parameters` and `model`.

    Raises BadRequest (not an object), NotFound (task), TooLarge (bounds), Unprocessable (the rest).
    """
    schema_of(task)
    if not isinstance(body, Mapping):
        raise BadRequest(f"got a body of type {_kind(body)}, expected a JSON object with {_listed(BODY_KEYS)}")
    for key in body:
        if key not in BODY_KEYS:
            raise Unprocessable(f"unknown field {_shown(key)}, expected {_listed(BODY_KEYS)}")
    return TextRequest(
        task=task,
        inputs=_inputs(body, task, bounds),
        parameters=parse_parameters(task, body.get("parameters")).model_dump(),
        model=_model(body.get("model")),
        tenant=tenant,
        priority=priority,
        deadline_s=deadline_s,
    )


def schema_of(task: str) -> type[Common]:
    """Return the parameter class of a task. Raises NotFound with the tasks there are."""
    if task not in SCHEMAS:
        raise NotFound(f"no task {_shown(task)}; tasks: {_listed(TASKS)}")
    return SCHEMAS[task]


def parse_parameters(task: str, value: object) -> Common:
    """Read a task's `parameters` (None: all defaults). Raises NotFound (task), Unprocessable."""
    schema = schema_of(task)
    if value is None:
        return schema()
    if not isinstance(value, Mapping):
        raise Unprocessable(f"parameters: got {_kind(value)}, expected an object")
    for name in value:
        if name not in schema.model_fields:
            known = _listed(schema.model_fields)
            raise Unprocessable(f"unknown parameter {_shown(name)} of {task}; parameters: {known}")
    try:
        parameters = schema.model_validate(dict(value))
    except ValidationError as error:
        raise Unprocessable(_fault(error.errors()[0])) from None
    for name, text in _texts(parameters):
        _well_formed(text, f"parameters.{name}")
    return parameters


def parse_input(value: object, where: str, task: str) -> TextInput:
    """Read one input: a text, or an object with `text` and, where the task takes pairs, `text_pair`.

    `where` names the input in messages. Raises Unprocessable.
    """
    if isinstance(value, str):
        return TextInput(_text(value, where))
    if not isinstance(value, Mapping):
        raise Unprocessable(f'{where}: got {_kind(value)}, expected a text or an object with "text"')
    for key in value:
        if key not in {"text", "text_pair"}:
            raise Unprocessable(f'{where}: unknown field {_shown(key)}, expected "text" or "text_pair"')
    if "text" not in value:
        raise Unprocessable(f'{where}: got no "text", expected one')
    text = _text(value["text"], f"{where}.text")
    if value.get("text_pair") is None:
        return TextInput(text)
    if not schema_of(task).takes_pairs:
        raise Unprocessable(f'{where}: got a "text_pair", expected none: {task} reads single texts')
    return TextInput(text, _text(value["text_pair"], f"{where}.text_pair"))


def _inputs(body: Mapping[str, object], task: str, bounds: Bounds) -> tuple[TextInput, ...]:
    raw = body.get("inputs")
    if raw is None:
        raise Unprocessable('got no "inputs", expected a text, an object with "text", or a list of these')
    if not isinstance(raw, list | tuple):
        raw = [raw]
    if not raw:
        raise Unprocessable("inputs: got an empty list, expected at least one text")
    if len(raw) > bounds.max_inputs:
        raise TooLarge(f"got {len(raw)} inputs, at most {bounds.max_inputs} in one request", hint=AS_JOB)
    if (chars := sum(map(_n_chars, raw))) > bounds.max_chars:
        raise TooLarge(f"got {chars} characters of text, at most {bounds.max_chars} in one request", hint=AS_JOB)
    if chars * MOST_EXPANDED > bounds.max_chars and (expanded := sum(map(_n_expanded, raw))) > bounds.max_chars:
        raise TooLarge(
            f"got {chars} characters of text that stand for {expanded}, at most {bounds.max_chars} in one request",
            hint=AS_JOB,
        )
    return tuple(parse_input(value, f"inputs[{i}]", task) for i, value in enumerate(raw))


def _n_chars(value: object) -> int:
    return sum(map(len, _strings(value)))


def _n_expanded(value: object) -> int:
    """Count characters as tokenizers see them: a ligature stands for up to 18 letters."""
    return sum(len(unicodedata.normalize("NFKC", text)) for text in _strings(value))


def _strings(value: object) -> Iterable[str]:
    found = value.values() if isinstance(value, Mapping) else (value,)
    return [text for text in found if isinstance(text, str)]


def _model(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise Unprocessable(
            f'model: got {_kind(value) if value else "an empty name"}, expected "model" or "model:head"'
        )
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise Unprocessable(f"{where}: got {_kind(value)}, expected a text")
    if not value or value.isspace():
        kind = "an empty text" if not value else "a text of only spaces"
        raise Unprocessable(f"{where}: got {kind}, expected at least one character that is not a space")
    return _well_formed(value, where)


def _well_formed(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}"
        raise Unprocessable(f"{where}: got {found}, expected well-formed Unicode") from None
    if (at := text.find("\0")) >= 0:
        raise Unprocessable(f"{where}: got a NUL (U+0000) at character {at}, expected text; binary data ends up so")
    return text


def _texts(parameters: Common) -> Iterator[tuple[str, str]]:
    for name, value in parameters:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                yield name, text


def _fault(error: ErrorDetails) -> str:
    where = ".".join(map(str, ("parameters", *error["loc"])))
    expected = _SAID_BEFORE.sub("", error["msg"])
    return f"{where}: got {_shown(error['input'])}, expected {expected[0].lower()}{expected[1:]}"


def _shown(value: object, most: int = 80) -> str:
    shown = ascii(value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", dict: "an object", list: "a list"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
