"""Two limits on calls to a server that is in trouble: a circuit breaker, and a budget of retries.

The circuit breaker stops calls to a server that is down, and lets single calls through to find out when it is back. The
retry budget limits how many calls are sent again. Both are plain state behind a lock. Must not know HTTP or the model
server.
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
    """Closed: every call passes. Open: no call passes for `recovery_s`. Half-open: one call, the probe, passes.

    It opens after `threshold` failures in a row, and becomes half-open after `recovery_s`. A successful probe closes
    it, a failed one opens it again. The caller reports the result of every admitted call once, with `success`,
    `failure` or `release`, and passes the generation that `admit` returned. The generation grows when the breaker opens
    or lets a probe pass. Results of an older generation are ignored.
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
        """The state after the last event. Time alone does not change it."""
        return self._state

    def blocked_s(self) -> float:
        """Return the seconds until a call may pass; 0 when one may pass now."""
        with self._lock:
            if self._state == "closed":
                return 0.0
            left_s = self._opened_s + self._recovery_s - self._clock()
            return max(left_s, PROBE_RETRY_AFTER_S if self._probing else 0.0)

    def admit(self) -> int:
        """Let one call pass and return its generation. Raises Unavailable, with seconds to wait, when none may pass."""
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
            self._change_to("half-open")
            return self._generation

    def success(self, generation: int) -> None:
        """Report that an admitted call was answered."""
        with self._lock:
            if generation == self._generation:
                self._failures, self._probing = 0, False
                self._change_to("closed")

    def failure(self, generation: int) -> None:
        """Report that an admitted call failed in a way that shows that the server is down."""
        with self._lock:
            if generation != self._generation:
                return
            self._failures, self._probing = self._failures + 1, False
            if self._state == "half-open" or self._failures >= self._threshold:
                self._opened_s = self._clock()
                self._generation += 1
                self._change_to("open")

    def release(self, generation: int) -> None:
        """Report that an admitted call showed nothing about the server. Another probe may then pass."""
        with self._lock:
            if generation == self._generation:
                self._probing = False

    def _change_to(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._on_change(state)


@dataclass(slots=True)
class RetryBudget:
    """A token bucket. Each first attempt adds `ratio` of a retry; the bucket holds at most `most` retries.

    `saved` is the number of retries in the bucket. Threads may share a budget.
    """

    ratio: float = 0.1
    most: float = 10.0
    saved: float = 1.0
    _lock: Lock = field(default_factory=Lock)

    def earn(self) -> None:
        """Count one first attempt."""
        with self._lock:
            self.saved = min(self.most, self.saved + self.ratio)

    def spend(self) -> bool:
        """Take one retry from the bucket. Return False when the bucket holds less than one."""
        with self._lock:
            if self.saved < 1.0:
                return False
            self.saved -= 1.0
            return True
