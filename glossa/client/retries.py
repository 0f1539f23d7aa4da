"""When a call is tried again, and how long it waits before. Must not know what is called."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from glossa.client.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is tried, and how long it waits in between: twice as long each time, with chance mixed in.

    `attempts` counts the first one, so 1 means no retry. `retry_after_s` of an answer is honoured. If it is longer than
    `longest_wait_s`, the error is raised at once, and the caller decides. Only errors that a retry may help are tried
    again: no answer, 408, 429, 502, 503 and 504, unless the answer says otherwise.

        Client(url, retries=Retries(attempts=6, longest_wait_s=60.0))
    """

    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0
    jitter: Callable[[], float] = random.random  # from 0 to 1

    def wait_s(self, attempt: int, error: ApiError) -> float | None:
        """Return the seconds until the next attempt, or None when the error is to be raised. The first attempt is 1."""
        if attempt >= self.attempts or not error.retryable:
            return None
        most = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (attempt - 1))
        backoff_s = most * (1 + self.jitter()) / 2  # from half of it to all of it, so that callers spread
        if error.retry_after_s is None:
            return backoff_s
        if error.retry_after_s > self.longest_wait_s:
            return None
        return max(error.retry_after_s, backoff_s)


NO_RETRIES = Retries(attempts=1)
