"""`glossa models`: lists the models of a catalog and their heads, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from functions.pipeline.route import answers_unnamed
from glossa.commands.arguments import catalog_option, examples, open_catalog
from shared.catalog import Catalog

SHOWN_LABELS = 4
FILE_COLUMNS = 1000  # a file or a pipe gets each row on one line, however long


@click.command(
    "models", help="List the catalog's models and heads.", epilog=examples("glossa models", "glossa models --json")
)
@catalog_option
@click.option("--json", "as_json", is_flag=True, help="One JSON value instead of a table.")
def models_command(*, catalog_path: Path, as_json: bool) -> int:
    """Run the command; return its exit code."""
    catalog = open_catalog(catalog_path)
    if as_json:
        print(json.dumps(plain_values(catalog)))
    else:
        print_table(catalog, sys.stdout)
    return 0


def plain_values(catalog: Catalog) -> dict[str, object]:
    """Return every model with its heads, as values that JSON can hold.

    `defaults` has, for each task, the `model:head` that answers when a request names no model.
    """
    # `lane` is the old name of `size_class`, kept for programs that read it.
    models = [model.model_dump() | {"lane": model.size_class} for model in catalog.models.values()]
    defaults = {task: ":".join(answering) for task, answering in answers_unnamed(catalog).items()}
    return {"default_model": catalog.default_model, "defaults": defaults, "models": models}


def print_table(catalog: Catalog, out: TextIO) -> None:
    """Print one row for each head: its reference, its tasks, its size class and its first labels.

    A task has a mark at the head that answers it when a request names no model.
    """
    unnamed = answers_unnamed(catalog)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("MODEL:HEAD", "TASKS", "SIZE CLASS", "LABELS"):
        table.add_column(name, overflow="fold", no_wrap=name == "MODEL:HEAD")
    for name, model in catalog.models.items():
        for head_name, head in model.heads.items():
            marked = (f"{task} *" if unnamed[task] == (name, head_name) else task for task in head.tasks)
            cells = (f"{name}:{head_name}", ", ".join(marked), model.size_class, _labels(head.labels))
            table.add_row(*map(Text, cells))
    console = Console(file=out, width=None if out.isatty() else FILE_COLUMNS)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    print(*lines, "", "* answers this task when a request names no model", sep="\n", file=out)


def _labels(labels: tuple[str, ...]) -> str:
    if len(labels) <= SHOWN_LABELS:
        return ", ".join(labels)
    return f"{', '.join(labels[:SHOWN_LABELS])}, … ({len(labels)})"
