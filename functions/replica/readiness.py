"""Asks whether a model is ready: to find out when a server is back, and whether one that is slow answers at all.

Both questions are cheap, and have a short time-out of their own. Nobody waits long for the answer. Must not know what a
call holds, or how often it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TypeVar

from functions.replica.breaker_state import Admission
from functions.replica.circuit_breaker import CircuitBreaker
from functions.replica.failures import OK, failure_in_reply, failure_of_stalled_server
from functions.replica.transport import Reply, ReplyLate, Transport, TransportError

MAX_READY_BYTES = 65_536
MAX_ABANDONED = 16  # calls to a server that stalled, whose threads still wait

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds.

    `question_s`: for the answer whether a model is ready. A replica takes at most one, and a busy machine lets it wait.
    `caller_s`: how long a caller waits for it while the breaker is open. `call_s`: how long a call may take before the
    question is asked. A server that leaves the question unanswered `n_silent` times in a row has stalled. After one
    such silence, the word of whoever answers in its name that it is not ready counts as another.
    """

    question_s: float = 2.0
    caller_s: float = 0.1
    call_s: float = 1.0
    n_silent: int = 3


class Readiness:
    """Asks over a transport. Threads may share it. It has no threads until it needs one."""

    def __init__(self, transport: Transport, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport, self._patience, self._clock = transport, patience, clock
        self._threads: ThreadPoolExecutor | None = None
        self._n_abandoned = 0
        self._lock = Lock()

    def probe(self, model: str, breaker: CircuitBreaker, admitted: Admission) -> None:
        """Ask whether a model is ready again, and report it to the breaker. Return soon, before the answer if need be.

        `admitted` holds the lease of the probe. In a function that is frozen before the answer comes, the lease ends.
        """
        asking = Thread(target=self._report, args=(model, breaker, admitted), name="probe", daemon=True)
        asking.start()
        asking.join(self._patience.caller_s)

    def watched(self, model: str, exchange: Callable[[], T]) -> T:
        """Return what `exchange` returns. Raises FailedAttempt when the server stalls meanwhile.

        The exchange then goes on in its thread until its own time is over, and nobody hears of it.
        """
        began_s, n_silent = self._clock(), 0
        if self._n_abandoned >= MAX_ABANDONED:
            return exchange()
        call = self._pool().submit(copy_context().run, exchange)
        while not wait([call], self._patience.call_s if not n_silent else 0.0).done:
            n_silent = n_silent + 1 if self._is_silent(model, again=n_silent > 0) else 0
            if n_silent >= self._patience.n_silent and not call.done():
                self._abandon(call)
                raise failure_of_stalled_server(self._clock() - began_s)
        return call.result()

    def close(self) -> None:
        """Let go of the threads, as before a snapshot."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    def _report(self, model: str, breaker: CircuitBreaker, admitted: Admission) -> None:
        asked_s = self._clock()
        try:
            reply = self._ask(model)
        except TransportError as error:
            breaker.failure(admitted, late=isinstance(error, ReplyLate))
            return
        if self._clock() - asked_s > 2 * self._patience.question_s:  # the function was frozen: the answer is old
            breaker.release(admitted)
        elif reply.status == OK:
            breaker.success(admitted)
        else:
            breaker.failure(admitted, retry_after_s=failure_in_reply(reply).error.retry_after_s)

    def _is_silent(self, model: str, *, again: bool) -> bool:
        try:
            return self._ask(model).status != OK and again
        except ReplyLate:
            return True
        except TransportError:  # a connection that breaks breaks the call too, which then says so itself
            return False

    def _ask(self, model: str) -> Reply:
        return self._transport.send(
            "GET", f"/v2/models/{model}/ready", {}, b"", timeout_s=self._patience.question_s, max_bytes=MAX_READY_BYTES
        )

    def _abandon(self, call: Future[T]) -> None:
        with self._lock:
            self._n_abandoned += 1

        def ended(_: Future[T]) -> None:
            with self._lock:
                self._n_abandoned -= 1

        call.add_done_callback(ended)

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2 * MAX_ABANDONED, thread_name_prefix="call")
            return self._threads
