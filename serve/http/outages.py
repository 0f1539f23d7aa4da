"""Says how long a model without a replica is likely to stay away, from how long it took before.

A model is away from the first call that found no replica, or from when Serve first said so, until Serve says that it
runs. Must not know HTTP or Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

FIRST_S = 15.0  # that a start is expected to take before one was seen
MIN_S, MAX_S = 1.0, 60.0
OVERDUE_SHARE = 0.25  # of the time it has been away, that a model is expected to need when it should be back by now
LAG_S = 6.0  # that Serve may take to notice that a replica ended


class Outages:
    """Which models are away, since when, and how long the last time of each took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since_s: dict[str, float] = {}
        self._refused_s: dict[str, float] = {}
        self._confirmed: set[str] = set()  # Serve has said that they do not run
        self._took_s: dict[str, float] = {}

    def __bool__(self) -> bool:
        """Say whether any model is away."""
        return bool(self._since_s)

    def refuse(self, model: str) -> float:
        """Note a call that found no replica of a model. Return after how many whole seconds it should be sent again."""
        now_s = self._clock()
        self._refused_s[model] = now_s
        away_s = now_s - self._since_s.setdefault(model, now_s)
        left_s = self._took_s.get(model, FIRST_S) - away_s
        if left_s <= 0:
            left_s = OVERDUE_SHARE * away_s
        return math.ceil(min(max(left_s, MIN_S), MAX_S))

    @property
    def refused(self) -> tuple[str, ...]:
        """The models that are away and that somebody has called meanwhile."""
        return tuple(self._since_s.keys() & self._refused_s.keys())

    def starts(self, model: str) -> None:
        """Note that Serve says that a model has no replica, and starts one."""
        self._since_s.setdefault(model, self._clock())
        self._confirmed.add(model)

    def rests(self, model: str) -> None:
        """Note that Serve says that a model has no replica until somebody calls it."""
        if model in self._since_s:
            self._confirmed.add(model)

    def runs(self, model: str) -> None:
        """Note that Serve says that a model has a replica. It may not have noticed yet that this one ended."""
        now_s = self._clock()
        if model in self._confirmed:
            self._took_s[model] = now_s - self._since_s.pop(model)
            self._confirmed.remove(model)
        elif model in self._since_s and now_s - self._refused_s[model] > LAG_S:
            del self._since_s[model]
