"""Arguments that several commands share, and how their values are read. Must not know what commands do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from glossa.commands.remote.options import F, examples, parameters_option, read_parameters
from shared.catalog import Catalog, load_catalog

__all__ = [
    "F",
    "TokensPerSecond",
    "catalog_option",
    "examples",
    "model_option",
    "open_catalog",
    "parameters_option",
    "read_parameters",
]


CATALOG = "catalog.toml"  # of the folder in which a command runs


class TokensPerSecond(click.ParamType[float]):
    """A speed above 0."""

    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the speed; refuse what is no number, not finite or not above 0."""
        try:
            speed = float(value)
        except ValueError:
            speed = math.nan
        if not 0 < speed < math.inf:
            self.fail(f"got {value}, expected tokens per second above 0", param, ctx)
        return speed


def catalog_option(command: F) -> F:
    """Add --catalog."""
    kind = click.Path(path_type=Path)
    option = click.option("--catalog", "catalog_path", type=kind, default=CATALOG, metavar="FILE", show_default=True)
    return option(command)


def model_option(command: F) -> F:
    """Add --model, for a model and one of its heads. A shell completes those of the catalog."""
    text = "Default: the default model, and its default head."
    return click.option("--model", metavar="MODEL[:HEAD]", help=text, shell_complete=_references)(command)


def _references(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's signature
    """Return the models, and with a colon the heads of one, that begin with an incomplete word."""
    try:
        models = load_catalog(Path(ctx.params.get("catalog_path") or CATALOG)).models
    except (ValueError, OSError):
        return []
    names = [*models, *(f"{name}:{head}" for name, model in models.items() for head in model.heads)]
    return [name for name in names if name.startswith(incomplete) and (":" in incomplete or ":" not in name)]


def open_catalog(path: Path) -> Catalog:
    """Read the catalog. Raises ValueError when there is no such file, or when it is no catalog."""
    if not path.is_file():
        raise ValueError(
            f"got catalog {str(path)!r}, which is no file; make one: glossa catalog add FOLDER --name NAME"
        )
    return load_catalog(path)
