"""`glossa catalog list` and `show`: what the catalog says, in plain lines. Must not know checkpoints."""

from __future__ import annotations

from pathlib import Path

import click

from glossa.commands import catalog_file
from glossa.commands.arguments import catalog_option, examples, open_catalog
from glossa.commands.catalog.report import report


@click.command(
    "list",
    help="Print a line for each model: its family, its tasks and its checkpoint.",
    epilog=examples("glossa catalog list"),
)
@catalog_option
def list_command(*, catalog_path: Path) -> int:
    """Run the command; return its exit code."""
    catalog = open_catalog(catalog_path)
    for name, model in catalog.models.items():
        mark = " (default)" if name == catalog.default_model else ""
        print(f"{name}{mark}: {model.family}, {', '.join(sorted(model.tasks))}; {model.checkpoint}")
    return 0


@click.command(
    "show",
    help="Print the facts of a model in plain lines.",
    epilog=examples("glossa catalog show mini", "glossa catalog show mini --print-entry"),
)
@catalog_option
@click.argument("name")
@click.option("--print-entry", is_flag=True, help="Print its entry as the catalog has it, in TOML.")
def show_command(*, catalog_path: Path, name: str, print_entry: bool) -> int:
    """Run the command; return its exit code."""
    model = open_catalog(catalog_path).model(name)
    print(catalog_file.stored_entry(catalog_path, name) if print_entry else "\n".join(report(model)))
    return 0
