"""Schedules: what happens at each decision of a run, by its number. They are random, enumerated, or shrunk.

At a decision that a schedule does not name, all goes well. So the shortest schedule that still fails tells the whole
story of a failure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.simulator.tasks import Point

GO = "go"
TRACES = frozenset({"write", "send", "model"})


class Schedule:
    """Names the decisions at which something else than the default happens."""

    def __init__(self, actions: Mapping[int, str] | None = None) -> None:
        self.actions = dict(actions or {})

    def decide(self, number: int, point: Point) -> str:
        """Return the action at a decision."""
        return self.actions.get(number, GO)


@dataclass
class Seeded(Schedule):
    """Draws its decisions from a seed, and keeps those that are not the default. `orders` may come at any time."""

    seed: int
    orders: tuple[str, ...] = ()
    actions: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw how often each fault happens in this run."""
        self._random = random.Random(self.seed)
        self._rates = {
            name: most * self._random.random()
            for name, most in (
                ("crash before", 0.02), ("crash after", 0.02), ("freeze", 0.03), ("twin", 0.03), ("next", 0.10),
                ("thaw", 0.05), ("sweep", 0.004), ("wait", 0.004),
            )
        }  # fmt: skip
        self._picks = {"take": 0.5, "dup": 0.2, "drop": 0.05, "delay": 0.1}

    def decide(self, number: int, point: Point) -> str:
        """Draw the action at a decision."""
        action = self._pick() if point.kind == "pick" else self._act(point)
        if action != GO:
            self.actions[number] = action
        return action

    def _pick(self) -> str:
        for name, rate in self._picks.items():
            if self._random.random() < rate * 0.5:
                return f"{name} {self._random.randrange(1000)}"
        return GO

    def _act(self, point: Point) -> str:
        if self.orders and self._random.random() < 0.01:
            return self._random.choice(self.orders)
        for name, rate in self._rates.items():
            if self._random.random() < rate:
                return name if point.kind in TRACES or name != "crash after" else GO
        return GO


def shrink(actions: Mapping[int, str], fails: Callable[[Schedule], bool], *, tries: int = 400) -> dict[int, str]:
    """Return a part of a schedule that still fails and of which nothing can be left out, within `tries` runs."""
    left = dict(actions)
    size = max(1, len(left) // 2)
    while left and tries > 0:
        kept = False
        for at in range(0, len(left), size):
            numbers = sorted(left)
            fewer = {n: left[n] for n in numbers[:at] + numbers[at + size :]}
            tries -= 1
            if len(fewer) < len(left) and fails(Schedule(fewer)):
                left, kept = fewer, True
                break
            if tries <= 0:
                break
        if not kept:
            if size == 1:
                break
            size //= 2
        size = min(size, max(1, len(left)))
    return left
