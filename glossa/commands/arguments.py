"""Arguments that several commands share, and how their values are read. Must not know what commands do."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.catalog import Catalog, load_catalog

F = TypeVar("F", bound=Callable[..., Any])
_JOB_ID = re.compile(r"[0-9a-f]{32}")


class JobId(click.ParamType[str]):
    """The id of a batch job."""

    name = "job"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id as it is; refuse any other text."""
        if not _JOB_ID.fullmatch(value):
            self.fail(f"got {value[:80]!r}, expected the id of a job: 32 of 0-9 a-f", param, ctx)
        return value


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


def model_option(command: F) -> F:
    """Add --model, for a model and one of its heads."""
    text = "Default: the default model, and its default head."
    return click.option("--model", metavar="MODEL[:HEAD]", help=text)(command)


def parameters_option(command: F) -> F:
    """Add --param, which may be repeated; `read_parameters` reads its values."""
    text = "A parameter of the task; repeatable."
    return click.option("--param", "parameters", multiple=True, metavar="K=V", help=text)(command)


def read_parameters(pairs: Iterable[str]) -> dict[str, object]:
    """Read `key=value` pairs: a value that is JSON as such, any other as a string. Raises ValueError."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"got --param {pair!r}, expected key=value")
        try:
            found[key] = json.loads(text)
        except RecursionError:
            raise ValueError(f"got --param {key} with JSON nested too deep, expected fewer brackets") from None
        except ValueError:
            found[key] = text
    return found


def open_catalog(path: Path) -> Catalog:
    """Read the catalog. Raises ValueError when there is no such file, or when it is no catalog."""
    if not path.is_file():
        raise ValueError(
            f"got catalog {str(path)!r}, which is no file; make one: glossa catalog add FOLDER --name NAME"
        )
    return load_catalog(path)
