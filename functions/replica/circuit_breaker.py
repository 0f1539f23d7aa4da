"""What keeps a client from hurting a server that is down: a circuit breaker and a retry budget.

Both are plain state behind a lock, handed the time. Must not know HTTP or the model server.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

from shared.errors import Unavailable

State = Literal["closed", "open", "half-open"]
PROBE_RETRY_AFTER_S = 1.0


class CircuitBreaker:
    """Closed: all pass. After `threshold` failures in a row open: none passes for `recovery_s`.

    Then half-open: one probe passes; its success closes, its failure opens again. Every `admit` is
    answered, with the generation it returned, by one `success`, `failure` or `release` (nothing learnt). The
    generation grows whenever the breaker opens or lets a probe pass; what comes of an older one is not heard.
    """

    def __init__(
        self,
        threshold: int = 5,
        recovery_s: float = 10.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] = lambda _: None,
    ) -> None:
        self._threshold = threshold
        self._recovery_s = recovery_s
        self._clock = clock
        self._on_change = on_change
        self._lock = Lock()
        self._failures = 0
        self._opened_s = 0.0
        self._probing = False
        self._generation = 0
        self._state: State = "closed"

    @property
    def state(self) -> State:
        """The state as of the last event."""
        return self._state

    def blocked_s(self) -> float:
        """Return the seconds until a call may pass; 0 when one may now."""
        with self._lock:
            if self._state == "closed":
                return 0.0
            left_s = self._opened_s + self._recovery_s - self._clock()
            return max(left_s, PROBE_RETRY_AFTER_S if self._probing else 0.0)

    def admit(self) -> int:
        """Let one call pass; return its generation. Raises Unavailable, with the seconds until a probe, when open."""
        with self._lock:
            if self._state == "closed":
                return self._generation
            left_s = self._opened_s + self._recovery_s - self._clock()
            if left_s > 0 or self._probing:
                raise Unavailable(
                    f"the model server failed {self._failures} times in a row, expected it back soon",
                    retry_after_s=max(left_s, PROBE_RETRY_AFTER_S),
                )
            self._probing = True
            self._generation += 1
            self._become("half-open")
            return self._generation

    def success(self, generation: int) -> None:
        """Hear that the admitted call was answered."""
        with self._lock:
            if generation == self._generation:
                self._failures, self._probing = 0, False
                self._become("closed")

    def failure(self, generation: int) -> None:
        """Hear that the admitted call failed in a way that says the server is down."""
        with self._lock:
            if generation != self._generation:
                return
            self._failures, self._probing = self._failures + 1, False
            if self._state == "half-open" or self._failures >= self._threshold:
                self._opened_s = self._clock()
                self._generation += 1
                self._become("open")

    def release(self, generation: int) -> None:
        """Hear that the admitted call says nothing about the server; a probe may be tried again."""
        with self._lock:
            if generation == self._generation:
                self._probing = False

    def _become(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_change(state)


@dataclass(slots=True)
class RetryBudget:
    """A token bucket: each first try earns `ratio` of a retry, at most `most` are saved."""

    ratio: float = 0.1
    most: float = 10.0
    saved: float = 1.0
    _lock: Lock = field(default_factory=Lock)

    def earn(self) -> None:
        """Hear that a first try is made."""
        with self._lock:
            self.saved = min(self.most, self.saved + self.ratio)

    def spend(self) -> bool:
        """Take one retry if there is one."""
        with self._lock:
            if self.saved < 1.0:
                return False
            self.saved -= 1.0
            return True
