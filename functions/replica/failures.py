"""Decides what a failed call to the model server means: the error to raise, and whether a retry may help.

Failures come from the transport, from the replica itself, or from a proxy or Ray in front of it. This module must not
know deadlines, retry counts or circuit breakers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from functions.replica.transport import NotConnected, Reply, ReplyLate, ReplyTooLarge, TransportError
from shared.errors import (
    BY_CODE,
    BY_STATUS,
    DeadlineExceeded,
    GlossaError,
    MethodNotAllowed,
    Overloaded,
    ReplicaError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
)
from shared.protocol import decode_error
from shared.protocol.responses import MAX_ERROR_BYTES

OK = 200
FIRST_SERVER_ERROR = 500
REPEATABLE_PROXY_STATUSES = frozenset({500, 502})
RAY_TIMEOUT_STATUS = 408  # Ray answers its own timeout with 408, which means 504 elsewhere
MAX_RETRY_AFTER_DIGITS = 6  # 999,999 s are more than eleven days
SLOW_S = 1.0  # a reply that is late after less time than this says nothing about the server: the deadline was short
_PROXY_ERRORS: Mapping[type[GlossaError], str] = {  # what a status means when a proxy or Ray sends it in its own words
    DeadlineExceeded: "the model server ran out of the time that was left",
    TooLarge: "the model server refused the size of the request",
    Overloaded: "the model server is full",
    Unavailable: "the model server takes no requests now",
}


class NoReply(DeadlineExceeded):
    """The server sent no reply within `waited_s` seconds, although the call told it to answer sooner.

    The server either hangs at this call or cannot be reached any more.
    """

    def __init__(self, waited_s: float) -> None:
        """Keep how many seconds the client waited."""
        super().__init__(f"the model server did not answer within {waited_s:.1f} s, the time that was left")
        self.waited_s = waited_s


@dataclass(eq=False)
class FailedAttempt(Exception):
    """One attempt that failed.

    `error` is what the caller of the client would see. `may_repeat_call` says whether a second attempt may help.
    `server_down` says whether the failure shows that the server is down; None means that it shows neither. `stalled`
    says that the server answered nothing else either.
    """

    error: GlossaError
    may_repeat_call: bool
    server_down: bool | None
    stalled: bool = False


def error_after_retry(first: GlossaError, second: GlossaError) -> GlossaError:
    """Return which of the errors of two attempts to raise.

    It is the second one. But a ReplicaError says more than a server that is then full, down or late, so such a first
    error is kept, with the seconds to wait of the second.
    """
    if isinstance(first, ReplicaError) and isinstance(second, Overloaded | Unavailable | DeadlineExceeded):
        first.retry_after_s = second.retry_after_s
        return first
    return second


def failure_without_reply(error: TransportError, timeout_s: float, max_bytes: int) -> FailedAttempt:
    """Return what a missing reply means, after a wait of at most `timeout_s` for at most `max_bytes`."""
    if isinstance(error, NotConnected):
        return FailedAttempt(Unavailable("the model server cannot be reached"), may_repeat_call=True, server_down=True)
    if isinstance(error, ReplyTooLarge):
        return FailedAttempt(_too_large(max_bytes), may_repeat_call=False, server_down=False)
    if isinstance(error, ReplyLate):
        down = True if timeout_s >= SLOW_S else None
        return FailedAttempt(NoReply(timeout_s), may_repeat_call=False, server_down=down)
    broken = ReplicaError("the connection to the model server broke")
    return FailedAttempt(broken, may_repeat_call=True, server_down=True)


def failure_of_stalled_server(waited_s: float) -> FailedAttempt:
    """Return what it means that the server answers neither a call nor whether it is ready."""
    return FailedAttempt(NoReply(waited_s), may_repeat_call=False, server_down=True, stalled=True)


def unreadable_reply(error: ReplicaError) -> FailedAttempt:
    """Return what a reply means that is an answer by its status, but cannot be read."""
    return FailedAttempt(error, may_repeat_call=False, server_down=True)


def failure_in_reply(reply: Reply) -> FailedAttempt:
    """Return what a reply with the status of an error means."""
    from_proxy = not _is_from_replica(reply.data)
    error = _error_for_caller(decode_error(reply.status, reply.data), reply)
    refused_for_now = isinstance(error, Overloaded | Unavailable)
    safe_to_repeat = from_proxy and reply.status in REPEATABLE_PROXY_STATUSES
    down = _server_down(error, reply.status, from_proxy=from_proxy)
    return FailedAttempt(error, may_repeat_call=refused_for_now or safe_to_repeat, server_down=down)


def _is_from_replica(data: bytes) -> bool:
    """Return whether an error body has one of our error codes, so that the replica itself wrote it."""
    try:
        problem = json.loads(data[:MAX_ERROR_BYTES])
    except (ValueError, RecursionError):
        return False
    return isinstance(problem, dict) and problem.get("code") in tuple(BY_CODE)


def _server_down(error: GlossaError, status: int, *, from_proxy: bool) -> bool | None:
    """Return whether an error shows that the server is down.

    Below 500 the server is up. A 500, 502 or 504 that the replica itself sends is about one request only. A row at
    which every forward pass fails must not block the model for other callers.
    """
    if status < FIRST_SERVER_ERROR:
        return False
    return True if from_proxy or isinstance(error, Unavailable) else None


def _error_for_caller(error: GlossaError, reply: Reply) -> GlossaError:
    """Return the error that our caller sees for an error of the replica, a proxy or Ray."""
    if type(error) is GlossaError:  # a 500 of the replica: its cause is internal, so the caller does not see it
        return ReplicaError("the model server failed at this request")
    # about the request of this client, which our caller did not make
    if isinstance(error, MethodNotAllowed | TooSlow | Unauthenticated):
        error = ReplicaError("the model server did not take the request")
    if type(error) is ReplicaError:
        kind = DeadlineExceeded if reply.status == RAY_TIMEOUT_STATUS else BY_STATUS.get(reply.status, ReplicaError)
        error = kind(_PROXY_ERRORS[kind]) if kind in _PROXY_ERRORS else error
    error.retry_after_s = _retry_after_s(reply.headers, error)
    return error


def _retry_after_s(headers: Mapping[str, str], error: GlossaError) -> float | None:
    """Return the seconds to wait from the body, else from the header. None for no value, a date or an invalid one."""
    given = error.retry_after_s
    if given is None:
        header = headers.get("retry-after", "")
        is_number = header.isascii() and header.isdigit() and len(header) <= MAX_RETRY_AFTER_DIGITS
        given = float(header) if is_number else None
    return given if given is not None and math.isfinite(given) and given >= 0 else None


def _too_large(max_bytes: int) -> TooLarge:
    """Return the error for an answer that exceeds what one request may carry."""
    return TooLarge(
        f"the answer is over {max_bytes} bytes, more than one request can carry",
        hint="send fewer inputs, or the same as a batch job: POST /v1/jobs",
    )
