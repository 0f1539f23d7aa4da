"""Options that several commands share, and how their values are read. Must not know what commands do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_JOB_ID = re.compile(r"[0-9a-f]{32}")


def examples(*commands: str) -> str:
    """Return the examples of a command for the end of its help, one a line."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


class JobId(click.ParamType[str]):
    """The id of a batch job."""

    name = "job"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id as it is; refuse any other text."""
        if not _JOB_ID.fullmatch(value):
            self.fail(f"got {value[:80]!r}, expected the id of a job: 32 of 0-9 a-f", param, ctx)
        return value


def url_option(command: F) -> F:
    """Add --url, the address of the API."""
    text = "The API, with its stage. Default: GLOSSA_API_URL."
    return click.option("--url", metavar="URL", help=text)(command)


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
