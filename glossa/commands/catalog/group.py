"""The group `glossa catalog`, which holds the commands of this folder. Must not know what they do."""

from __future__ import annotations

import click

from glossa.commands.catalog.add import add_command
from glossa.commands.catalog.listing import list_command, show_command
from glossa.commands.catalog.refresh import refresh_command
from glossa.commands.catalog.remove import remove_command
from glossa.commands.catalog.trial import test_command

catalog_group = click.Group(
    "catalog",
    commands=[add_command, list_command, show_command, test_command, refresh_command, remove_command],
    help="Add a model to the catalog, show it, test it, take over its new files, or remove it.",
    short_help="Add, show, test, refresh and remove models.",
)
