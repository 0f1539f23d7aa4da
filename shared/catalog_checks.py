"""Checks of a catalog that need none of its classes: old names of keys, and which model may stand in for another.

Must not know how a catalog is read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Protocol

from shared.log import log_event

VECTORS = "feature-extraction"  # vectors of two models cannot be compared, so no model stands in for these


class _Head(Protocol):
    """What is compared of two heads."""

    @property
    def task(self) -> str:
        """The task whose tensors it answers with."""
        ...

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that it can answer."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels, in logit order."""
        ...

    @property
    def problem_type(self) -> str:
        """How its scores belong together."""
        ...


class _Model(Protocol):
    """What is compared of two models."""

    @property
    def name(self) -> str:
        """Its name in the catalog."""
        ...

    @property
    def stand_in(self) -> str | None:
        """The model that may answer in its place."""
        ...

    @property
    def heads(self) -> Mapping[str, _Head]:
        """Its heads by name."""
        ...


def check_stand_in(model: _Model, models: Mapping[str, _Model]) -> None:
    """Refuse a stand-in that does not exist, or whose answers would mean something else. Raises ValueError."""
    if model.stand_in is None:
        return
    other = models.get(model.stand_in)
    if other is None or other.name == model.name:
        names = sorted(set(models) - {model.name})
        raise ValueError(f"model {model.name}: got stand_in {model.stand_in!r}, expected one of {names}")
    for name, head in model.heads.items():
        if head.task != VECTORS and (name not in other.heads or _meaning(other.heads[name]) != _meaning(head)):
            found = f"got stand_in {other.name!r}, which has no head {name!r} of the same tasks and labels"
            raise ValueError(f"model {model.name}: {found}, expected a model whose answers mean the same")


def with_new_names(raw: object) -> object:
    """Return the keys of a model with `size_class` for its old name `lane`, and warn. Raises ValueError for both."""
    if not isinstance(raw, dict) or "lane" not in raw:
        return raw
    if "size_class" in raw:
        raise ValueError("got lane and size_class, expected size_class alone: lane is its old name")
    reason = "the catalog says lane, the old name of size_class; rename the key"
    log_event("catalog-key-renamed", level="warning", stream=sys.stderr, model=raw.get("name"), reason=reason)
    return {("size_class" if key == "lane" else key): value for key, value in raw.items()}


def _meaning(head: _Head) -> tuple[frozenset[str], tuple[str, ...], str]:
    return frozenset(head.tasks), head.labels, head.problem_type
