"""The group `glossa catalog`, which holds the commands of this folder. Must not know what they do."""

from __future__ import annotations

import click

from glossa.commands.catalog.add import add_command
from glossa.commands.catalog.refresh import refresh_command

catalog_group = click.Group(
    "catalog", commands=[add_command, refresh_command], help="Add a model to the catalog, or take over its new files."
)
