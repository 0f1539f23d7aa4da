"""What each task takes: one file per task, named for it, holding one class `Parameters`.

A task is there when its file is: the file's name, with dashes, is the task's. Must not know how a task is done.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from functions.pipeline.schemas.parameters import Common

TASKS: tuple[str, ...] = tuple(
    sorted(name.replace("_", "-") for _, name, _ in iter_modules(__path__) if name != "parameters")
)


def _parameters(task: str) -> type[Common]:
    kind: type[Common] = import_module(f"{__name__}.{task.replace('-', '_')}").Parameters
    return kind


SCHEMAS: Mapping[str, type[Common]] = {task: _parameters(task) for task in TASKS}
