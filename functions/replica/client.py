"""Sends packed calls to the model server and returns its tensors, within a deadline.

At most four calls are in flight. A call is retried once, where a repeat is safe and the retry budget allows it. Each
model has a circuit breaker, whose state functions may share. This module must not know tasks, texts or tokenizers. It
opens no connection at import.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TypeVar
from urllib.parse import urlsplit

from functions.replica.breaker_store import BreakerStore, InMemoryBreakers
from functions.replica.failures import (
    OK,
    FailedAttempt,
    error_after_retry,
    failure_in_reply,
    failure_without_reply,
    unreadable_reply,
)
from functions.replica.guard import Guard
from functions.replica.readiness import Patience, Readiness
from functions.replica.retry_budget import RetryBudget
from functions.replica.transport import HttpTransport, Reply, SignedTransport, Transport, TransportError
from shared.call_keys import KeySource
from shared.content_types import BINARY_TYPE
from shared.errors import DeadlineExceeded, ReplicaError, Unavailable
from shared.limits import MAX_ANSWER_BYTES
from shared.messages import InferCall, ModelOutput
from shared.protocol import TIMEOUT_HEADER, decode_output, encode_call
from shared.protocol.parameters import read_timeout
from shared.trace_context import TraceContext

MAX_IN_FLIGHT = 4
MAX_STATISTICS_BYTES = 65_536
MAX_ATTEMPT_S = 120.0
BACKOFF_S = 0.1  # the longest random wait before a retry, on top of Retry-After
MAX_WAIT_S = 2.0  # the longest Retry-After that a call waits out by itself; the caller hears of a longer one at once
MIN_ATTEMPT_S = 0.05  # a retry with less time than this cannot succeed
SPEED_TIMEOUT_S = 0.25  # short, because a request waits for the speed
HEALTH_TIMEOUT_S = 1.0
GRACE_S = 2.0  # the client waits this much longer than it tells the server, so that a server that is late can say so


T = TypeVar("T")
_system_random = random.SystemRandom()  # has no state, so a Lambda snapshot cannot repeat its numbers


class ReplicaClient:
    """Calls the model server at `base_url`. Threads may share one client. Connections open on first use.

    `keys` sign each call. Without them calls are unsigned, which a model server answers on loopback alone. `ca` is the
    certificate of a private authority, in PEM. `breakers` is where functions share the states of their circuit
    breakers; without it this client has its own. One that `waits_for_server` waits out the Retry-After of a server that
    is down too, and lets a call take all its time, as a job may whose text holds the server up.
    """

    def __init__(
        self,
        base_url: str,
        *,
        keys: KeySource | None = None,
        ca: str | None = None,
        transport: Transport | None = None,
        breakers: BreakerStore | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        max_wait_s: float = MAX_WAIT_S,
        waits_for_server: bool = False,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = _system_random.random,
    ) -> None:
        plain = transport or HttpTransport(base_url, n_connections=MAX_IN_FLIGHT, ca=ca, clock=clock)
        self._transport = plain if keys is None else SignedTransport(plain, keys, clock=clock)
        self._readiness = Readiness(self._transport, patience or Patience(), clock)
        self._max_answer_bytes, self._max_wait_s = max_answer_bytes, max_wait_s
        self._waits_for_server = waits_for_server
        self._clock, self._pause, self._jitter = clock, pause, jitter
        self._budget = RetryBudget()
        store = breakers or InMemoryBreakers(clock)
        self._guard = Guard(urlsplit(base_url).netloc, store, self._readiness, watches=not waits_for_server)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def infer(
        self, calls: Sequence[InferCall], deadline_s: float, *, request_id: str = "", trace: TraceContext | None = None,
        waits: bool = True,
    ) -> list[ModelOutput]:  # fmt: skip
        """Send all calls and return their outputs in the same order.

        `deadline_s` is a time in seconds on this process's monotonic clock. The replica gets `request_id` and `trace`
        for its log. Unless it `waits`, no Retry-After is waited out. The first failure cancels the calls that have not
        begun. Raises DeadlineExceeded, Unavailable (open circuit breaker, no connection), Overloaded,
        TooLarge, ReplicaError, and any error that the replica answers with.
        """
        names, max_wait_s = _name_headers(request_id, trace), self._max_wait_s if waits else 0.0
        if len(calls) <= 1:
            return [self._infer_one(call, deadline_s, names, max_wait_s) for call in calls]
        futures = [self._executor().submit(self._infer_one, call, deadline_s, names, max_wait_s) for call in calls]
        done, rest = wait(futures, return_when=FIRST_EXCEPTION)
        for future in rest:
            future.cancel()
        for future in futures:
            if future in done and (failure := future.exception()) is not None:
                raise failure
        return [future.result() for future in futures]

    def ready(self) -> bool:
        """Ask the model server now whether it is ready. No answer within HEALTH_TIMEOUT_S counts as not ready."""
        try:
            reply = self._transport.send(
                "GET", "/v2/health/ready", {}, b"", timeout_s=HEALTH_TIMEOUT_S, max_bytes=self._max_answer_bytes
            )
        except TransportError:
            return False
        return reply.status == OK

    def tokens_per_s(self, model: str) -> float | None:
        """Ask the model server now for its measured speed. Return None when it does not answer at once."""
        if not self._guard.is_closed(model):
            return None
        try:
            reply = self._transport.send(
                "GET", f"/v2/models/{model}/stats", {}, b"", timeout_s=SPEED_TIMEOUT_S, max_bytes=MAX_STATISTICS_BYTES,
                tenant="",
            )  # fmt: skip
            measured = float(json.loads(reply.data)["model_stats"][0]["glossa"]["tokens_per_s"])
        except (TransportError, Unavailable, ValueError, LookupError, TypeError, RecursionError):
            return None
        return measured if math.isfinite(measured) and measured > 0 else None

    def blocked_s(self, model: str) -> float:
        """Return after how many seconds to ask again whether the model takes calls; 0 when it does now."""
        return self._guard.blocked_s(model)

    def close(self) -> None:
        """Close connections and threads, as before a Lambda snapshot. The next call opens new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        self._readiness.close()
        self._transport.close()

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, tenant: str, deadline_s: float,
        max_bytes: int, model: str | None = None, request_id: str = "", trace: TraceContext | None = None,
    ) -> Reply:  # fmt: skip
        """Pass a request of an outside client on, signed for a tenant hash, and return the server's reply.

        It is sent once. The server gets the time that is left, or the less that the client names. With a `model` the
        circuit breaker of that model counts. Raises as `infer`, and DecodeError for a time that is no number.
        """
        named_s = headers.get(TIMEOUT_HEADER)
        wanted_s = math.inf if named_s is None else read_timeout(named_s)

        def exchange(left_s: float) -> Reply:
            told_s = min(wanted_s, left_s - min(GRACE_S, left_s / 10))
            sent = {**headers, **_name_headers(request_id, trace), TIMEOUT_HEADER: repr(told_s)}
            return self._send(method, path, sent, data, timeout_s=left_s, max_bytes=max_bytes, tenant=tenant)

        try:
            try:
                return self._guarded(model, deadline_s, exchange)
            except FailedAttempt as failed:
                raise failed.error from None
        except Unavailable as error:
            if model is not None:
                self._guard.date(error, model, self._jitter())
            raise

    def _infer_one(
        self, call: InferCall, deadline_s: float, names: Mapping[str, str], max_wait_s: float
    ) -> ModelOutput:
        """Send one call, and once more where that may help. An error says when the server is likely to be back."""
        try:
            return self._infer_or_retry(call, deadline_s, names, max_wait_s)
        except Unavailable as error:
            self._guard.date(error, call.model, self._jitter())
            raise

    def _infer_or_retry(
        self, call: InferCall, deadline_s: float, names: Mapping[str, str], max_wait_s: float
    ) -> ModelOutput:
        self._budget.earn()
        try:
            return self._attempt(call, deadline_s, names)
        except FailedAttempt as failed:
            pause_s = self._retry_pause_s(failed, deadline_s, max_wait_s)
            if pause_s is None or not self._budget.spend():
                raise failed.error from None
            first = failed.error
        self._pause(pause_s)
        try:
            return self._attempt(call, deadline_s, names)
        except FailedAttempt as failed:
            raise error_after_retry(first, failed.error) from None
        except (Unavailable, DeadlineExceeded) as error:  # it was not sent: open circuit breaker, or no time left
            if isinstance(error, Unavailable):
                self._guard.date(error, call.model, self._jitter())
            if error.retry_after_s is not None:
                first.retry_after_s = error.retry_after_s
            raise first from None

    def _retry_pause_s(self, failed: FailedAttempt, deadline_s: float, max_wait_s: float) -> float | None:
        """Return the seconds to wait before the retry, with full jitter. None when a retry may not or cannot help."""
        pause_s = (failed.error.retry_after_s or 0.0) + self._jitter() * BACKOFF_S
        left_s = deadline_s - self._clock()
        if isinstance(failed.error, Unavailable) and not self._waits_for_server:
            max_wait_s = 0.0  # the caller hears at once that the server is down
        fits = pause_s + MIN_ATTEMPT_S < left_s and (failed.error.retry_after_s or 0.0) <= max_wait_s
        return pause_s if failed.may_repeat_call and fits else None

    def _attempt(self, call: InferCall, deadline_s: float, names: Mapping[str, str]) -> ModelOutput:
        """Send a call once. Raises as `_guarded`."""

        def exchange(left_s: float) -> ModelOutput:
            timed_call = replace(call, timeout_s=left_s - min(GRACE_S, left_s / 10))
            return self._exchange(timed_call, left_s, names)

        return self._guarded(call.model, deadline_s, exchange)

    def _guarded(self, model: str | None, deadline_s: float, exchange: Callable[[float], T]) -> T:
        """Send something once and report the result to the circuit breaker. Raises FailedAttempt when it was sent."""
        left_s = min(deadline_s - self._clock(), MAX_ATTEMPT_S)
        if left_s <= 0:
            raise DeadlineExceeded(f"got {-left_s:.2f} s past the deadline, expected time left for the model")
        if model is None:
            return exchange(left_s)
        return self._guard.send(model, partial(exchange, left_s))

    def _exchange(self, call: InferCall, timeout_s: float, names: Mapping[str, str]) -> ModelOutput:
        body = encode_call(call)
        reply = self._send(
            "POST", f"/v2/models/{call.model}/infer", {**body.headers, **names, "content-type": BINARY_TYPE}, body.data,
            timeout_s=timeout_s, max_bytes=self._max_answer_bytes, tenant=call.tenant_hash,
        )  # fmt: skip
        try:
            return decode_output(reply.headers, reply.data)
        except ReplicaError as unreadable:
            raise unreadable_reply(unreadable) from None

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int,
        tenant: str,
    ) -> Reply:  # fmt: skip
        """Send a request once, and return its reply when that has the status 200. Raises FailedAttempt."""
        try:
            reply = self._transport.send(
                method, path, headers, data, timeout_s=timeout_s, max_bytes=max_bytes, tenant=tenant
            )
        except TransportError as error:
            raise failure_without_reply(error, timeout_s, max_bytes) from error
        if reply.status != OK:
            raise failure_in_reply(reply)
        return reply

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_IN_FLIGHT, thread_name_prefix="replica")
            return self._threads


def _name_headers(request_id: str, trace: TraceContext | None) -> dict[str, str]:
    """Return the headers by which the log of a replica names a request."""
    names = {} if trace is None else trace.headers()
    return names | ({"x-request-id": request_id} if request_id else {})
