"""What must hold in a scenario, and whether it did. Pure.

A figure that could not be measured breaks no hold, except where the hold says that it must be there. Must not know
scenarios.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.chaos.figures import Figures


@dataclass(frozen=True, slots=True)
class Hold:
    """A bound on one field of Figures. With `must_happen`, a figure that is None breaks it."""

    figure: str
    sign: Literal["<=", ">="]
    bound: float
    must_happen: bool = False

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.figure} {self.sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A hold, the figure that was measured, and whether the hold was kept."""

    hold: Hold
    value: float | None
    kept: bool


def judge(holds: Sequence[Hold], figures: Figures) -> Iterator[Verdict]:
    """Yield the verdict on each hold. Raises AttributeError for a hold on a figure that does not exist."""
    for hold in holds:
        value: float | None = getattr(figures, hold.figure)
        if value is None:
            yield Verdict(hold, None, not hold.must_happen)
        else:
            yield Verdict(hold, value, value <= hold.bound if hold.sign == "<=" else value >= hold.bound)


def at_most(figure: str, bound: float, *, must_happen: bool = False) -> Hold:
    """Return the hold that a figure is at most this large."""
    return Hold(figure, "<=", bound, must_happen)


def at_least(figure: str, bound: float, *, must_happen: bool = False) -> Hold:
    """Return the hold that a figure is at least this large."""
    return Hold(figure, ">=", bound, must_happen)
