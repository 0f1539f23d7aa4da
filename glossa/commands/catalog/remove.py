"""`glossa catalog remove`: takes a model out of the catalog. Must not know checkpoints, which it never deletes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option, examples, open_catalog


@click.command(
    "remove",
    help="Remove a model's entry. Its checkpoint stays where it is.",
    epilog=examples("glossa catalog remove my-model", "glossa catalog remove mini --default my-model"),
)
@catalog_option
@click.argument("name")
@click.option("--default", "default_model", metavar="MODEL", help="The new default model.")
def remove_command(*, catalog_path: Path, name: str, default_model: str | None) -> int:
    """Run the command; return its exit code."""
    checkpoint = open_catalog(catalog_path).model(name).checkpoint
    remove(catalog_path, name, default_model)
    print(f"{catalog_path} has no {name} any more; its checkpoint {checkpoint} is as it was", file=sys.stderr)
    return 0


def remove(path: Path, name: str, default_model: str | None = None) -> None:
    """Remove the entry of a model, and make `default_model` the default.

    Raises ValueError for the default model when no other is named, and NotFound when the catalog lacks either.
    """
    catalog = open_catalog(path)
    catalog.model(name)
    rest = sorted(catalog.models.keys() - {name})
    if not rest:
        raise ValueError(f"{name} is the only model of {path}, expected another one beside it; delete the file instead")
    if default_model is None and name == catalog.default_model:
        raise ValueError(f"{name} is the default model, expected --default with another one: {rest}")
    if default_model is not None and default_model not in rest:
        raise ValueError(f"got --default {default_model!r}, expected one of {rest}")
    catalog_file.remove(path, name, default_model)
