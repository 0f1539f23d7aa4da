"""Reads what a caller sends for a task: its parameters, and inputs in one of the forms of the task.

Values are checked here, once. Texts are neither blank nor malformed. Must not know any one task, models or HTTP.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from functions.messages import TextInput
from functions.tasks.registry import TASKS
from functions.tasks.task import InputFields, Task, TaskParameters
from shared.error_text import expected, got, kind, shown
from shared.errors import NotFound, TooLarge, Unprocessable
from shared.strict_json import lone_surrogate_at

MAX_TEXTS = 1000  # choices, documents or sentences of one input
MAX_LANG_CHARS = 32
EMPTY_PAIR = ("text_pair", None)  # records without a pair may have it; every task takes it
MOST_EXPANDED = 18  # code points that NFKC makes of one code point, at most (U+FDFA)


def task_named(name: str) -> Task[Any]:
    """Return the task of that name. Raises NotFound, with the tasks there are."""
    if name not in TASKS:
        raise NotFound(f"no task {shown(name)}; tasks: {_listed(TASKS)}")
    return TASKS[name]


def input_names(task: str) -> frozenset[str]:
    """Return every name that a task knows for a part of its inputs. Raises NotFound."""
    return frozenset(name for form in task_named(task).parameters.input_forms for name in form.names)


def parse_parameters(task: str, value: object) -> TaskParameters:
    """Read a task's `parameters` from JSON values (None: all defaults). Raises NotFound (task), Unprocessable."""
    model = task_named(task).parameters
    value = {} if value is None else value
    if not isinstance(value, Mapping):
        raise Unprocessable(f"parameters: got {kind(value)}, expected an object")
    for name in value:
        if name not in model.model_fields:
            known = _listed(model.model_fields)
            raise Unprocessable(f"unknown parameter {shown(name)} of {task}; parameters: {known}")
    try:
        parameters: TaskParameters = model.model_validate(dict(value))
    except ValidationError as error:
        raise Unprocessable(_first_error(error.errors()[0])) from None
    for name, text in _texts_of(parameters):
        well_formed(text, f"parameters.{name}")
    return parameters


def parse_required_parameters(task: str, value: Mapping[str, object]) -> TaskParameters:
    """Read the required parameters alone; all others have their defaults. Raises as `parse_parameters`."""
    fields = task_named(task).parameters.model_fields
    return parse_parameters(
        task, {name: value[name] for name, field in fields.items() if field.is_required() and name in value}
    )


def parse_input(value: object, where: str, task: str) -> TextInput:
    """Read one input: a text, or an object in one of the task's input forms. A null counts as left out.

    `where` names the input in messages. Raises Unprocessable, TooLarge, NotFound (task).
    """
    return read_input(value, where, task, task_named(task).parameters.input_forms)


def _texts_of(parameters: TaskParameters) -> Iterator[tuple[str, str]]:
    for name, value in parameters:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                yield name, text


def _first_error(error: ErrorDetails) -> str:
    where = ".".join(map(str, ("parameters", *error["loc"])))
    if error["type"] == "missing":
        return f"got no {where}, expected some"
    return f"{where}: got {got(error)}, expected {expected(error)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def read_input(value: object, where: str, task: str, input_forms: Sequence[InputFields]) -> TextInput:
    """Read one input. `where` names it in messages. Raises Unprocessable, TooLarge (list of texts)."""
    usual = input_forms[0]
    if isinstance(value, str) and usual.plain:
        return TextInput(well_formed_text(value, where))
    if not isinstance(value, Mapping):
        raise Unprocessable(f"{where}: got {kind(value)}, expected {expectation(input_forms)}")
    fields = _form_of([name for name in value if (name, value[name]) != EMPTY_PAIR], where, task, input_forms)
    given = {name: part for name, part in value.items() if part is not None}
    text = well_formed_text(_part(given, fields.text, where), f"{where}.{fields.text}")
    pair = None if fields.pair is None or fields.pair not in given else given[fields.pair]
    if fields.needs_pair and pair is None:
        raise Unprocessable(f'{where}: got no "{fields.pair}", expected one')
    return TextInput(
        text,
        None if pair is None else well_formed_text(pair, f"{where}.{fields.pair}"),
        () if fields.texts is None else _texts(_part(given, fields.texts, where), f"{where}.{fields.texts}"),
        *_langs(given.get("lang"), f"{where}.lang", both=pair is not None or fields.texts is not None),
    )


def expectation(input_forms: Sequence[InputFields]) -> str:
    """Say what an input in these forms may be."""
    usual = input_forms[0]
    needed = [usual.text, *([usual.pair] if usual.needs_pair else []), *([usual.texts] if usual.texts else [])]
    an_object = "an object with " + " and ".join(f'"{name}"' for name in needed)
    return f"a text or {an_object}" if usual.plain else an_object


def n_characters(parameters: TaskParameters, inputs: Iterable[TextInput], enough: int) -> tuple[int, int, int]:
    """Return how many texts a model would read, their characters, and the characters that tokenizers make of them.

    A ligature becomes up to 18 letters. The last number is only counted when it may be more than `enough`.
    """
    text_pairs = [text_pair for item in inputs for text_pair in parameters.text_pairs(item)]
    texts = [text for text_pair in text_pairs for text in (text_pair.text, text_pair.pair) if text is not None]
    n_chars = sum(map(len, texts))
    if not enough / MOST_EXPANDED < n_chars <= enough:
        return len(text_pairs), n_chars, n_chars
    lengths = {text: len(unicodedata.normalize("NFKC", text)) for text in set(texts)}
    return len(text_pairs), n_chars, sum(lengths[text] for text in texts)


def well_formed_text(value: object, where: str) -> str:
    """Return a text unchanged. Raises Unprocessable unless it is a text, not blank, and well-formed."""
    if not isinstance(value, str):
        raise Unprocessable(f"{where}: got {kind(value)}, expected a text")
    if not value or value.isspace():
        found = "an empty text" if not value else "a text of only spaces"
        raise Unprocessable(f"{where}: got {found}, expected at least one character that is not a space")
    return well_formed(value, where)


def well_formed(text: str, where: str) -> str:
    """Return a text unchanged. Raises Unprocessable for a lone surrogate or U+0000, and names its place."""
    if (surrogate := lone_surrogate_at(text)) is not None:
        found = f"the lone surrogate U+{ord(text[surrogate]):04X} at character {surrogate}"
        raise Unprocessable(f"{where}: got {found}, expected well-formed Unicode")
    if (at := text.find("\0")) >= 0:
        raise Unprocessable(f"{where}: got a NUL (U+0000) at character {at}, expected text; binary data ends up so")
    return text


def _form_of(names: Sequence[str], where: str, task: str, input_forms: Sequence[InputFields]) -> InputFields:
    """Return the input form that has most of the names. Raises Unprocessable for a name that it does not have."""
    nearest = max(input_forms, key=lambda fields: len(set(names) & set(fields.names)))
    wrong = next((name for name in names if name not in nearest.names), None)
    if wrong is None:
        return nearest
    if wrong == "text_pair":
        raise Unprocessable(f'{where}: got a "text_pair", expected none: {task} reads single texts')
    known = ", ".join(f'"{name}"' for name in nearest.names)
    raise Unprocessable(f"{where}: unknown field {shown(wrong)}, expected {known}")


def _part(given: Mapping[str, object], name: str, where: str) -> object:
    if name not in given:
        raise Unprocessable(f'{where}: got no "{name}", expected one')
    return given[name]


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Unprocessable(f"{where}: got {kind(value)}, expected a list of texts")
    if not value:
        raise Unprocessable(f"{where}: got an empty list, expected at least one text")
    if len(value) > MAX_TEXTS:
        raise TooLarge(f"{where}: got {len(value)} texts, at most {MAX_TEXTS}")
    return tuple(well_formed_text(text, f"{where}[{i}]") for i, text in enumerate(value))


def _langs(value: object, where: str, *, both: bool) -> tuple[str | None, str | None]:
    """Read `lang`: one name, or a list of two where there are two sides."""
    if value is None:
        return None, None
    names = value if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_LANG_CHARS for name in names):
        raise Unprocessable(f"{where}: got {shown(value)}, expected the name of a language")
    if isinstance(value, str):
        return value, None
    if not both or len(names) != 2:  # noqa: PLR2004 - the two sides
        expected = "two, of the text and of what is read beside it" if both else "one, as a text: there is one side"
        raise Unprocessable(f"{where}: got a list of {len(names)}, expected {expected}")
    return str(names[0]), str(names[1])
