"""Reads the environment into one frozen value, once, when a process starts; also the trace of each invocation.

Nothing else in `shared`, `functions` and `serve` reads the environment. A bad or missing
value stops the process, with a message that names the variable. Must not know which settings there are: each owner has
its own class.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

PREFIX = "GLOSSA_"
XRAY_VARIABLE = "_X_AMZN_TRACE_ID"


class Settings(BaseModel):
    """Base of every settings class. The field `replica_url` is read from GLOSSA_REPLICA_URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def xray_of_invocation(environ: Mapping[str, str] | None = None) -> str:
    """Return the X-Ray header of the current Lambda invocation, "" outside one. The runtime sets it each time."""
    return (os.environ if environ is None else environ).get(XRAY_VARIABLE, "")


def read_settings(kind: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read settings of class `kind` from the environment. Other variables are ignored.

    Raises ValueError naming each variable that is missing or malformed.
    """
    source = os.environ if environ is None else environ
    names = {name: PREFIX + name.upper() for name in kind.model_fields}
    found = {name: source[variable] for name, variable in names.items() if source.get(variable, "") != ""}
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        faults = "; ".join(f"{names[str(e['loc'][0])]}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ValueError(f"settings of {kind.__name__} cannot be read: {faults}") from None
