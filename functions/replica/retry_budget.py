"""The budget of retries: at most a tenth of the calls is sent again, so that retries never double an overload.

Plain state behind a lock. Must not know HTTP or the model server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock


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
