"""What would add a head is a command that exists, for every task."""

from __future__ import annotations

import re

import click
import pytest

from functions.tasks.registry import TASK_NAMES
from glossa.cli import root
from glossa.head_training.data.read import TASKS
from shared.head_hints import TRAINED_HERE, VECTORS, way_to_head


@pytest.mark.parametrize("task", [*TASK_NAMES, "a-task-of-your-own"])
def test_the_command_exists_and_takes_these_options(task: str) -> None:
    """Each word is a group, a command, an option of it, or a value that the option takes."""
    hint = way_to_head(task, "mini", "checkpoints/mini")
    _, _, said = hint.partition(": glossa ")
    command: click.Command | None = root
    words = said.split()
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None
    options = {name: option for option in command.params for name in option.opts}
    for name in (word for word in words if word.startswith("--")):
        value = words[words.index(name) + 1]
        assert options[name].type.name != "choice" or value in options[name].type.choices  # type: ignore[attr-defined] # of a choice
    assert re.search(r"glossa (head train --model mini|catalog add (FOLDER|checkpoints/mini)) ", hint)


def test_a_head_is_trained_here_where_a_head_alone_is_enough() -> None:
    """`glossa head train` makes these; similarity is a matter of the whole model."""
    assert set(TASKS) - set(VECTORS) == set(TRAINED_HERE)


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        ("rerank", "add one: glossa head train --model m --task rerank --data FILE --name NAME"),
        ("sentence-similarity", "serve its vectors: glossa catalog add s3://a/m --name NAME --head embed"),
        ("a-task-of-your-own", "add a checkpoint that has one: glossa catalog add FOLDER --name NAME"),
    ],
)
def test_the_hint_names_model_and_task(task: str, hint: str) -> None:
    """A caller of the API reads it beside the refusal."""
    assert way_to_head(task, "m", "s3://a/m") == hint
