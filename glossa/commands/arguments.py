"""Arguments that several commands share, and how their values are read. Must not know what commands do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from glossa.commands.remote.options import F, model_option, parameters_option, read_parameters
from shared.catalog import Catalog, load_catalog

__all__ = [
    "F",
    "TokensPerSecond",
    "catalog_option",
    "model_option",
    "open_catalog",
    "parameters_option",
    "read_parameters",
]


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
    option = click.option(
        "--catalog", "catalog_path", type=kind, default="catalog.toml", metavar="FILE", show_default=True
    )
    return option(command)


def open_catalog(path: Path) -> Catalog:
    """Read the catalog. Raises ValueError when there is no such file, or when it is no catalog."""
    if not path.is_file():
        raise ValueError(
            f"got catalog {str(path)!r}, which is no file; make one: glossa catalog add FOLDER --name NAME"
        )
    return load_catalog(path)
