"""Reads the inputs of the cost calculator from a TOML file into frozen values. Unknown keys are refused.

Must not know how a cost is computed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SHIPPED = Path(__file__).with_name("prices.toml")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Load(_Frozen):
    """What is asked of the service. Rates are means over a month; shares are between 0 and 1."""

    tokens_per_text: int = Field(gt=0)
    tokens_per_document: int = Field(gt=0)
    texts_per_s: tuple[float, ...] = Field(min_length=1)
    documents_per_text: float = Field(gt=0)
    peak_factor: float = Field(ge=1)
    utilization: float = Field(gt=0, le=1)
    min_machines: int = Field(ge=1)
    busy_share: float = Field(gt=0, le=1)
    lambda_ms_per_text: float = Field(ge=0)
    vpc_endpoints: int = Field(ge=0)
    dynamodb_writes_per_document: float = Field(ge=0)
    s3_requests_per_document: float = Field(ge=0)


class Machine(_Frozen):
    """A machine by the hour. `tokens_per_s` is None when nobody knows its rate. `ours`: Glossa runs on it."""

    name: str
    chip: str
    dollars_per_hour: float = Field(gt=0)
    price_source: str = Field(min_length=1)
    tokens_per_s: float | None = Field(default=None, gt=0)
    basis: str = Field(min_length=1)
    ours: bool = True


class Managed(_Frozen):
    """A service that somebody else runs, priced by characters or by tokens."""

    name: str
    dollars_per_text: float | None = Field(default=None, gt=0)
    dollars_per_100_chars: float | None = Field(default=None, gt=0)
    dollars_per_million_tokens: float | None = Field(default=None, gt=0)
    note: str
    price_source: str = Field(min_length=1)


class Service(_Frozen):
    """One price of a service around the model. `dollars` is None when no source was found."""

    dollars: float | None = Field(default=None, ge=0)
    price_source: str = Field(min_length=1)


class Prices(_Frozen):
    """All inputs of the calculator."""

    load: Load
    machine: tuple[Machine, ...]
    managed: tuple[Managed, ...]
    service: Mapping[str, Service]

    def dollars(self, name: str) -> float:
        """Return the price of a service around the model, 0 when it has none. Raises KeyError for an unknown name."""
        return self.service[name].dollars or 0.0

    @property
    def missing(self) -> tuple[str, ...]:
        """The services that have no price, and so are in no figure."""
        return tuple(name for name, service in self.service.items() if service.dollars is None)


def load_prices(path: Path = SHIPPED) -> Prices:
    """Read a file of prices. Raises OSError, and ValueError that names each key that is wrong."""
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ValueError(f"prices in {path} cannot be read: {faults}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"prices in {path} are no TOML: {error}") from None
