"""Lists every task, and reads what a caller sends for one: its parameters and its inputs.

To add a task, add its file and one line to `_ALL`. Must not know HTTP, models or tokenizers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from functions.messages import TextInput
from functions.tasks import (
    feature_extraction,
    fill_mask,
    multiple_choice,
    question_answering,
    question_answering_beam,
    rerank,
    sentence_similarity,
    text_classification,
    text_generation,
    token_classification,
    zero_shot_classification,
)
from functions.tasks.inputs import read_input, well_formed
from functions.tasks.task import Assembler, Task, TaskParameters
from shared.error_text import expected, got, kind, shown
from shared.errors import NotFound, Unprocessable

_ALL: tuple[Task[Any], ...] = (
    feature_extraction.TASK,
    fill_mask.TASK,
    multiple_choice.TASK,
    question_answering.TASK,
    rerank.TASK,
    sentence_similarity.TASK,
    text_classification.TASK,
    text_generation.TASK,
    token_classification.TASK,
    zero_shot_classification.TASK,
)
TASKS: Mapping[str, Task[Any]] = {task.name: task for task in _ALL}
TASK_NAMES: tuple[str, ...] = tuple(TASKS)

# Heads of some checkpoints answer a task with other tensors. (task, `variant` of the head) -> their assembler.
_HEAD_VARIANTS: Mapping[tuple[str, str], Assembler[Any]] = {
    ("question-answering", "beam"): question_answering_beam.ASSEMBLER,
}


def task_named(name: str) -> Task[Any]:
    """Return the task of that name. Raises NotFound, with the tasks there are."""
    if name not in TASKS:
        raise NotFound(f"no task {shown(name)}; tasks: {_listed(TASKS)}")
    return TASKS[name]


def assembler_of(task: str, head_variant: str) -> Assembler[Any]:
    """Return what makes answers of a head's tensors. Raises NotFound (task), KeyError for a variant nobody reads."""
    return _HEAD_VARIANTS[task, head_variant] if head_variant else task_named(task).assembler


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
    for name, text in _texts(parameters):
        well_formed(text, f"parameters.{name}")
    return parameters


def parse_input(value: object, where: str, task: str) -> TextInput:
    """Read one input: a text, or an object in one of the task's input forms. A null counts as left out.

    `where` names the input in messages. Raises Unprocessable, TooLarge, NotFound (task).
    """
    return read_input(value, where, task, task_named(task).parameters.input_forms)


def _texts(parameters: TaskParameters) -> Iterator[tuple[str, str]]:
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
