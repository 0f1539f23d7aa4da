"""What each task takes: one file per task, named for it, holding one class `Parameters`.

The list of tasks is the catalog's; a task's file is found by its name. Must not know how a task is done.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import get_args

from functions.pipeline.schemas.parameters import Common
from shared.catalog import Task

TASKS: tuple[str, ...] = get_args(Task)


def _parameters(task: str) -> type[Common]:
    kind: type[Common] = import_module(f"{__name__}.{task.replace('-', '_')}").Parameters
    return kind


SCHEMAS: Mapping[str, type[Common]] = {task: _parameters(task) for task in TASKS}
