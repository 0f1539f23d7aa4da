"""The one outgoing call: packed rows to a model server, tensors back, within a deadline.

At most four calls in flight, one retry where nothing was done or a repeat is safe, a retry budget
and a breaker per model. Must not know tasks, texts or tokenizers; opens nothing at import.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from threading import Lock
from urllib.parse import urlsplit

from functions.replica.circuit_breaker import CircuitBreaker, RetryBudget, State
from functions.replica.transport import (
    HttpTransport,
    NotConnected,
    Reply,
    ReplyLate,
    ReplyTooLarge,
    Transport,
    TransportError,
)
from shared.errors import (
    BY_CODE,
    DeadlineExceeded,
    GlossaError,
    MethodNotAllowed,
    Overloaded,
    ReplicaError,
    TooLarge,
    TooSlow,
    Unavailable,
)
from shared.log import log_event
from shared.messages import InferCall, ModelOutput
from shared.protocol import decode_error, decode_output, encode_call

MAX_IN_FLIGHT = 4
MAX_ANSWER_BYTES = 5_000_000
MAX_ERROR_BYTES = 65_536
MAX_ATTEMPT_S = 120.0
BACKOFF_S = 0.1
MIN_ATTEMPT_S = 0.05
SPEED_TIMEOUT_S = 0.25  # a caller waits for it
HEALTH_TIMEOUT_S = 1.0
GRACE_S = (
    2.0  # that we wait longer than we tell the server to: so a server that is late says so, and one that hangs does not
)
SLOW_S = 1.0  # a reply that is late after less than this blames the caller's deadline, not the server


_system_random = random.SystemRandom()  # holds no state that a snapshot could repeat


class NoReply(DeadlineExceeded):
    """The server said nothing in `waited_s`, though it was told less: it hangs at this call, or is cut off."""

    def __init__(self, waited_s: float) -> None:
        """Keep how long nothing was heard."""
        super().__init__(f"the model server did not answer within {waited_s:.1f} s, the time that was left")
        self.waited_s = waited_s


@dataclass(eq=False)
class _Failed(Exception):
    """One attempt failed: with what, whether a repeat may help, and if the server looks down (None: who knows)."""

    error: GlossaError
    retriable: bool
    down: bool | None


class ReplicaClient:
    """Calls the model server at `base_url`. Threads may share one; connections open on first use."""

    def __init__(
        self,
        base_url: str,
        *,
        transport: Transport | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = _system_random.random,
    ) -> None:
        self._host = urlsplit(base_url).netloc
        self._transport = transport or HttpTransport(base_url, n_connections=MAX_IN_FLIGHT, clock=clock)
        self._max_answer_bytes = max_answer_bytes
        self._clock, self._pause, self._jitter = clock, pause, jitter
        self._budget = RetryBudget()
        self._breakers: dict[str, CircuitBreaker] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def infer(self, calls: Sequence[InferCall], deadline_s: float, *, request_id: str = "") -> list[ModelOutput]:
        """Answer each call, in order. `deadline_s` is on this process's monotonic clock.

        Raises DeadlineExceeded, Unavailable (breaker, no connection), Overloaded, TooLarge, ReplicaError
        and what else the replica refuses with; the first failure ends all.
        """
        if len(calls) <= 1:
            return [self._answer(call, deadline_s, request_id) for call in calls]
        futures = [self._executor().submit(self._answer, call, deadline_s, request_id) for call in calls]
        done, rest = wait(futures, return_when=FIRST_EXCEPTION)
        for future in rest:
            future.cancel()
        for future in futures:
            if future in done and (failure := future.exception()) is not None:
                raise failure
        return [future.result() for future in futures]

    def ready(self) -> bool:
        """Whether the model server says that it is ready, asked now."""
        try:
            reply = self._transport.send(
                "GET", "/v2/health/ready", {}, b"", timeout_s=HEALTH_TIMEOUT_S, max_bytes=self._max_answer_bytes
            )
        except TransportError:
            return False
        return reply.status == 200  # noqa: PLR2004 - HTTP's word for success

    def tokens_per_s(self, model: str) -> float | None:
        """Return the speed that the model server measures, asked now; None when it does not say at once."""
        if self.blocked_s(model) > 0:
            return None
        try:
            reply = self._transport.send(
                "GET", f"/v2/models/{model}/stats", {}, b"", timeout_s=SPEED_TIMEOUT_S, max_bytes=MAX_ERROR_BYTES
            )
            measured = float(json.loads(reply.data)["model_stats"][0]["glossa"]["tokens_per_s"])
        except (TransportError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return measured if math.isfinite(measured) and measured > 0 else None

    def blocked_s(self, model: str) -> float:
        """Return the seconds until the breaker lets a call for this model pass; 0 when one may now."""
        return self._breaker(model).blocked_s()

    def close(self) -> None:
        """Drop connections and threads, as before a snapshot; the next call makes new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        self._transport.close()

    def _answer(self, call: InferCall, deadline_s: float, request_id: str) -> ModelOutput:
        self._budget.earn()
        try:
            return self._attempt(call, deadline_s, request_id)
        except _Failed as failed:
            pause_s = self._pause_s(failed, deadline_s)
            if pause_s is None or not self._budget.spend():
                raise failed.error from None
            first = failed.error
        self._pause(pause_s)
        try:
            return self._attempt(call, deadline_s, request_id)
        except _Failed as failed:
            raise _telling(first, failed.error) from None
        except (Unavailable, DeadlineExceeded) as error:  # the breaker, or the time: the retry was never sent
            if error.retry_after_s is not None:
                first.retry_after_s = error.retry_after_s
            raise first from None

    def _pause_s(self, failed: _Failed, deadline_s: float) -> float | None:
        """Seconds to wait before the one retry, with full jitter; None when it may not or cannot help."""
        pause_s = (failed.error.retry_after_s or 0.0) + self._jitter() * BACKOFF_S
        left_s = deadline_s - self._clock()
        return pause_s if failed.retriable and pause_s + MIN_ATTEMPT_S < left_s else None

    def _attempt(self, call: InferCall, deadline_s: float, request_id: str) -> ModelOutput:
        left_s = min(deadline_s - self._clock(), MAX_ATTEMPT_S)
        if left_s <= 0:
            raise DeadlineExceeded(f"got {-left_s:.2f} s past the deadline, expected time left for the model")
        breaker = self._breaker(call.model)
        generation = breaker.admit()
        heard = breaker.release
        try:
            told = replace(call, timeout_s=left_s - min(GRACE_S, left_s / 10))
            outputs = self._exchange(told, left_s, request_id)
            heard = breaker.success
        except _Failed as failed:
            heard = {True: breaker.failure, False: breaker.success, None: breaker.release}[failed.down]
            raise
        finally:
            heard(generation)
        return outputs

    def _exchange(self, call: InferCall, timeout_s: float, request_id: str) -> ModelOutput:
        body = encode_call(call)
        headers = {**body.headers, "content-type": "application/octet-stream"}
        if request_id:
            headers["x-request-id"] = request_id
        path = f"/v2/models/{call.model}/infer"
        try:
            reply = self._transport.send(
                "POST", path, headers, body.data, timeout_s=timeout_s, max_bytes=self._max_answer_bytes
            )
        except TransportError as lost:
            raise _lost(lost, timeout_s, self._max_answer_bytes) from lost
        return _read(reply)

    def _breaker(self, model: str) -> CircuitBreaker:
        with self._lock:
            if model not in self._breakers:
                self._breakers[model] = CircuitBreaker(clock=self._clock, on_change=self._log_breaker(model))
            return self._breakers[model]

    def _log_breaker(self, model: str) -> Callable[[State], None]:
        return lambda state: log_event("breaker", level="warning", model=model, state=state, url_host=self._host)

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_IN_FLIGHT, thread_name_prefix="replica")
            return self._threads


# what a proxy, or Ray itself, means when it answers in its own words
_FOREIGN: Mapping[int, tuple[type[GlossaError], str]] = {
    408: (DeadlineExceeded, "the model server ran out of the time that was left"),
    413: (TooLarge, "the model server refused the size of the request"),
    429: (Overloaded, "the model server is full"),
    503: (Unavailable, "the model server takes no requests now"),
    504: (DeadlineExceeded, "the model server ran out of the time that was left"),
}


def _telling(first: GlossaError, second: GlossaError) -> GlossaError:
    """Return the failure to raise: a call that broke at the server says more than a server then out of reach."""
    if isinstance(first, ReplicaError) and isinstance(second, Overloaded | Unavailable | DeadlineExceeded):
        first.retry_after_s = second.retry_after_s
        return first
    return second


def _lost(error: TransportError, timeout_s: float, max_bytes: int) -> _Failed:
    """Say what a missing reply means for the caller."""
    if isinstance(error, NotConnected):
        return _Failed(Unavailable("the model server cannot be reached"), retriable=True, down=True)
    if isinstance(error, ReplyTooLarge):
        return _Failed(_too_large(max_bytes), retriable=False, down=False)
    if isinstance(error, ReplyLate):
        return _Failed(NoReply(timeout_s), retriable=False, down=True if timeout_s >= SLOW_S else None)
    return _Failed(ReplicaError("the connection to the model server broke"), retriable=True, down=True)


def _read(reply: Reply) -> ModelOutput:
    """Read a whole reply. Raises _Failed with the error it holds, or the one it stands for."""
    if reply.status == 200:  # noqa: PLR2004 - HTTP's word for success
        try:
            return decode_output(reply.headers, reply.data)
        except ReplicaError as garbage:
            raise _Failed(garbage, retriable=False, down=True) from None
    foreign = not _is_ours(reply.data)  # a proxy's words, perhaps for a replica that died
    error = _named(decode_error(reply.status, reply.data), reply)
    refused_for_now = isinstance(error, Overloaded | Unavailable)
    safe_to_repeat = foreign and reply.status in {500, 502}
    down = _looks_down(error, reply.status, foreign=foreign)
    raise _Failed(error, retriable=refused_for_now or safe_to_repeat, down=down)


def _is_ours(data: bytes) -> bool:
    """Whether an error is in our own envelope, so that the replica itself wrote it."""
    try:
        problem = json.loads(data[:MAX_ERROR_BYTES])
    except (ValueError, RecursionError):
        return False
    return isinstance(problem, dict) and problem.get("code") in tuple(BY_CODE)


def _looks_down(error: GlossaError, status: int, *, foreign: bool) -> bool | None:
    """Say what an error tells of the server: below 500 it is up; its own 500, 502 and 504 are about one request.

    So a row at which every pass breaks fails alone, and does not shut the model to all others.
    """
    if status < 500:  # noqa: PLR2004 - where HTTP's server errors begin
        return False
    return True if foreign or isinstance(error, Unavailable) else None


def _named(error: GlossaError, reply: Reply) -> GlossaError:
    """Name what the server's own words or a proxy's mean to our caller."""
    if type(error) is GlossaError:  # 500 with our envelope: its cause is the server's, not for the caller's eyes
        return ReplicaError("the model server failed at this request")
    if isinstance(error, MethodNotAllowed | TooSlow):  # said of our own request, which is not the caller's
        error = ReplicaError("the model server did not take the request")
    if type(error) is ReplicaError and reply.status in _FOREIGN:
        kind, message = _FOREIGN[reply.status]
        error = kind(message)
    error.retry_after_s = _retry_after_s(reply.headers, error)
    return error


def _retry_after_s(headers: Mapping[str, str], error: GlossaError) -> float | None:
    """Seconds from the body's field, else from the header; None for none, a date, or nonsense."""
    given = error.retry_after_s
    if given is None:
        header = headers.get("retry-after", "")
        given = float(header) if header.isascii() and header.isdigit() and len(header) < 7 else None  # noqa: PLR2004 - a week
    return given if given is not None and math.isfinite(given) and given >= 0 else None


def _too_large(max_bytes: int) -> TooLarge:
    """Return the error for an answer that is more than a request can carry back."""
    return TooLarge(
        f"the answer is over {max_bytes} bytes, more than one request can carry",
        hint="send fewer inputs, or the same as a batch job: POST /v1/jobs",
    )
