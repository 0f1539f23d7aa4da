"""Lets a call to a model pass or refuses it, and tells the circuit breaker of the model how it ended.

It joins the breakers with the questions whether a model is ready. Must not know what a call holds, or when it is
retried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import TypeVar

from functions.replica.breaker_state import MAX_WAIT_S, Admission, Phase
from functions.replica.breaker_store import BreakerStore
from functions.replica.circuit_breaker import CircuitBreaker
from functions.replica.failures import FailedAttempt, NoReply
from functions.replica.readiness import Readiness
from shared.errors import Unavailable
from shared.log import log_event

SPREAD = 0.3  # times a wait that callers are told: else they would all come back in the same moment
MAX_BLOCKED_S = 5.0  # the longest pause of a job between two questions whether the server is back

T = TypeVar("T")


class Guard:
    """Guards the models of the server at `host`. Threads may share it.

    With `watches` a call that is slow ends when the server answers nothing else either.
    """

    def __init__(self, host: str, store: BreakerStore, readiness: Readiness, *, watches: bool) -> None:
        self._host, self._store, self._readiness, self._watches = host, store, readiness, watches
        self._breakers: dict[str, CircuitBreaker] = {}
        self._lock = Lock()

    def send(self, model: str, exchange: Callable[[], T]) -> T:
        """Send something once. Raises Unavailable when it may not pass, FailedAttempt when it was sent in vain."""
        breaker, admitted = self._breaker(model), self._admit(model)
        report: Callable[[Admission], None] = breaker.release
        try:
            outputs = self._readiness.watched(model, exchange) if self._watches else exchange()
            report = breaker.success
        except FailedAttempt as failed:
            down = partial(
                breaker.failure, late=isinstance(failed.error, NoReply), stalled=failed.stalled,
                retry_after_s=failed.error.retry_after_s,
            )  # fmt: skip
            reports: Mapping[bool | None, Callable[[Admission], None]]
            reports = {True: down, False: breaker.success, None: breaker.release}
            report = reports[failed.server_down]
            raise
        finally:
            report(admitted)
        return outputs

    def is_closed(self, model: str) -> bool:
        """Whether calls pass without a probe."""
        return self._breaker(model).phase == "closed"

    def blocked_s(self, model: str) -> float:
        """Return after how many seconds to ask again whether a call may pass, at most MAX_BLOCKED_S; 0 when it may now.

        It asks the server when a probe is due.
        """
        try:
            self._admit(model)
        except Unavailable as refused:
            return min(refused.retry_after_s or MAX_BLOCKED_S, MAX_BLOCKED_S)
        return 0.0

    def date(self, error: Unavailable, model: str, jitter: float) -> None:
        """Set the seconds of a refusal to when the model is likely to be back, and a random part of SPREAD more.

        `jitter` is that part. A server that asks for more gets it.
        """
        back_s = self._breaker(model).back_in_s()
        if back_s is not None:
            told_s = min(back_s * (1.0 + SPREAD * jitter), MAX_WAIT_S)
            error.retry_after_s = max(told_s, error.retry_after_s or 0.0)

    def _admit(self, model: str) -> Admission:
        """Let a call pass, after a probe where one is due. Raises Unavailable while the server is away."""
        breaker = self._breaker(model)
        admitted = breaker.admit()
        if admitted.lease is not None:
            self._readiness.probe(model, breaker, admitted)
            admitted = breaker.admit()
        if admitted.lease is not None:  # it took so long that the next probe is due already
            breaker.release(admitted)
            raise breaker.refusal()
        return admitted

    def _breaker(self, model: str) -> CircuitBreaker:
        with self._lock:
            if model not in self._breakers:
                on_change = self._log_change(model)
                on_change("closed")  # so that the metric has a value before the first failure
                self._breakers[model] = CircuitBreaker(model, self._store, on_change=on_change)
            return self._breakers[model]

    def _log_change(self, model: str) -> Callable[[Phase], None]:
        def log(state: Phase) -> None:
            level = "info" if state == "closed" else "warning"
            log_event("circuit-breaker", level=level, model=model, state=state, url_host=self._host)

        return log
