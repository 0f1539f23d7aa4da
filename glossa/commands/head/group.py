"""The group `glossa head`, which holds the commands of this folder. Must not know what they do."""

from __future__ import annotations

import click

from glossa.commands.head.remove import remove_command
from glossa.commands.head.train import train_command

head_group = click.Group(
    "head",
    commands=[train_command, remove_command],
    help="Train a head on labels of your own over a model of the catalog, or take one out again.",
    short_help="Train a head on labels of your own, or remove one.",
)
