"""What bounds the requests of each second, part by part, and which part is full first. Pure.

Must not know where a bound comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the way of a request: how many it lets pass in a second, how that is known, and what raises it."""

    name: str
    most_per_s: float
    basis: str
    raised_by: str


def in_order(parts: Sequence[Part]) -> list[Part]:
    """Return the parts in the order in which a load that grows fills them."""
    return sorted(parts, key=lambda part: part.most_per_s)


def full(parts: Sequence[Part], per_s: float) -> list[Part]:
    """Return the parts that do not let so many requests pass, the tightest first."""
    return [part for part in in_order(parts) if part.most_per_s < per_s]


def first(parts: Sequence[Part]) -> Part:
    """Return the part that is full first. Raises ValueError for no parts."""
    if not parts:
        raise ValueError("got no parts, expected some")
    return in_order(parts)[0]


def open_at_once(per_s: float, seconds: float) -> float:
    """Return how many requests are open in the mean, when each takes so many seconds (Little)."""
    return per_s * seconds
