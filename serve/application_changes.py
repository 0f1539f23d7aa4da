"""Compares the applications that run with those that are wanted: which are new, which have changed, which are gone.

Pure values. An application that is the same in both is in none of the three, so nobody touches it. Must not know Ray,
or what a definition says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Changes(NamedTuple):
    """Names of applications: `added` and `changed` are in the order in which they are wanted, `removed` as they ran."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def changes(running: Mapping[str, str], wanted: Mapping[str, str]) -> Changes:
    """Return what differs. Both map the name of an application to its definition: a text that says all of it."""
    return Changes(
        added=tuple(name for name in wanted if name not in running),
        changed=tuple(name for name in wanted if name in running and running[name] != wanted[name]),
        removed=tuple(name for name in running if name not in wanted),
    )
