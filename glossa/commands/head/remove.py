"""`glossa head remove`: takes a trained head out of the catalog, and leaves its folder. Must not know checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option, examples, open_catalog
from shared.catalog import split_reference


@click.command(
    "remove",
    help="Take a trained head out of the catalog. Its folder stays.",
    epilog=examples("glossa head remove mini:intents"),
)
@catalog_option
@click.argument("reference", metavar="MODEL:HEAD")
def remove_command(*, catalog_path: Path, reference: str) -> int:
    """Run the command; return its exit code."""
    print(f"{catalog_path} has no {reference} any more; {remove(catalog_path, reference)} stays", file=sys.stderr)
    return 0


def remove(path: Path, reference: str) -> str:
    """Take a head out of the catalog; return its folder.

    Raises ValueError for a head in the checkpoint of its model, and NotFound for one that is not there.
    """
    name, head = split_reference(reference)
    model = open_catalog(path).model(name)
    if head is None:
        raise ValueError(
            f"got {reference!r}, expected MODEL:HEAD; to remove a model: glossa catalog remove {reference}"
        )
    found = model.heads.get(head)
    if found is None or not found.checkpoint:
        known = f"this one is in {model.checkpoint} itself" if found else f"{name} has no head {head}"
        own = ", ".join(f"{name}:{each}" for each, of in model.heads.items() if of.checkpoint) or f"none in {name}"
        raise ValueError(
            f"got {reference!r}, expected a head that was trained apart, of which there are: {own}; {known}"
        )
    catalog_file.rewrite(path, name, {}, {each: kept for each, kept in model.heads.items() if each != head})
    return found.checkpoint
