"""The error tree. `NoReply` of functions/replica and `ForeignPart` of functions/jobs are errors outside this module.

Each class has its HTTP status, a stable code, and whether a retry can help. Each side turns errors into responses in
one place. A message states the value, then the expectation. Must not know an HTTP library.

    GlossaError
    ├── BadRequest 400            malformed: cannot be read at all
    │   └── DecodeError 400       a body of the model server's protocol that does not parse
    ├── Unauthenticated 401       a call to a replica without a valid token
    │   └── UnknownCallKey 401    a token of a key that the replica does not know
    ├── Forbidden 403             no verified principal
    ├── NotFound 404              unknown route, task, model, head, job (and every foreign id)
    ├── MethodNotAllowed 405      the route exists, but not for this method; has `allow`
    ├── TooSlow 408               a body did not arrive in time
    ├── Conflict 409              valid, but not in this state
    │   └── FingerprintMismatch   the caller's tokenizer is not the replica's
    ├── TooLarge 413              body, text, token or answer over a limit
    ├── UnsupportedMedia 415      the headers say that the body is encoded, not JSON, or not UTF-8
    ├── Unprocessable 422         valid JSON that the task cannot take
    ├── Overloaded 429            the queue is full; has `retry_after_s`
    ├── ReplicaError 502          the model server's answer cannot be used
    ├── NotFinite 502             a row overflows in the model's dtype; a retry would too
    ├── Unavailable 503           the model server cannot be reached; has `retry_after_s`
    └── DeadlineExceeded 504      the time of the request is over
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_RETRY_AFTER_S = 86_400.0


class GlossaError(Exception):
    """Root of every error that a caller may see. Raised itself, it is a 500: a bug, or a state that must not occur."""

    status: int = 500
    code: str = "internal"
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        """Keep the message, a way forward (`hint`), and the seconds until a retry may succeed, if known."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s

    def to_problem(self, instance: str | None = None) -> dict[str, object]:
        """Return the RFC 9457 problem details of this error."""
        problem: dict[str, object] = {
            "type": f"urn:glossa:error:{self.code}",
            "title": self.code.replace("-", " "),
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            "retryable": self.retryable,
        }
        if self.hint is not None:
            problem["hint"] = self.hint
        if self.retry_after_s is not None:
            problem["retry_after_s"] = self.retry_after_s
        if instance is not None:
            problem["instance"] = instance
        return problem


class BadRequest(GlossaError):
    """The request cannot be read: broken JSON, wrong types, invalid UTF-8."""

    status = 400
    code = "bad-request"


class DecodeError(BadRequest):
    """A body of the Open Inference Protocol v2 does not parse."""

    code = "decode-error"


class Unauthenticated(GlossaError):
    """The call has no valid token: unsigned, expired, or made for another request."""

    status = 401
    code = "unauthenticated"


class UnknownCallKey(Unauthenticated):
    """The token has a key that the replica does not know. The caller may have older or newer keys."""

    code = "unknown-call-key"


class Forbidden(GlossaError):
    """The request carries no verified principal, or one that may not do this."""

    status = 403
    code = "forbidden"


class NotFound(GlossaError):
    """Unknown route, task, model, head or id. An id of another tenant is unknown, too."""

    status = 404
    code = "not-found"


class MethodNotAllowed(GlossaError):
    """The route exists, but not for this method; `allow` names the methods it has."""

    status = 405
    code = "method-not-allowed"

    def __init__(
        self, message: str, allow: Iterable[str] = (), *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s)
        self.allow = tuple(allow)


class TooSlow(GlossaError):
    """A body did not arrive in time."""

    status = 408
    code = "too-slow"


class Conflict(GlossaError):
    """The request is valid, but the state of the job or object does not allow it."""

    status = 409
    code = "conflict"


class FingerprintMismatch(Conflict):
    """Caller and replica have different tokenizers. An answer would be wrong, and nobody would notice."""

    code = "fingerprint-mismatch"


class TooLarge(GlossaError):
    """A body, text, list or answer is over its limit."""

    status = 413
    code = "too-large"


class UnsupportedMedia(GlossaError):
    """The headers name a content coding, a format other than JSON, or a charset other than UTF-8."""

    status = 415
    code = "unsupported-media"


class Unprocessable(GlossaError):
    """Valid JSON that the task cannot take: out of range, unknown parameter, missing mask."""

    status = 422
    code = "unprocessable"


class Overloaded(GlossaError):
    """The queue is full. `retry_after_s` is computed from the queued tokens and the measured speed."""

    status = 429
    code = "overloaded"
    retryable = True


class ReplicaError(GlossaError):
    """The model server answered, but its answer cannot be used."""

    status = 502
    code = "replica-error"
    retryable = True


class NotFinite(GlossaError):
    """The model's numbers for this row are not finite. The same row would overflow again in this dtype."""

    status = 502
    code = "not-finite"


class Unavailable(GlossaError):
    """The model server cannot be reached or is draining, or the circuit breaker is open."""

    status = 503
    code = "unavailable"
    retryable = True


class DeadlineExceeded(GlossaError):
    """The time of the request is over. Its work was dropped as a whole."""

    status = 504
    code = "deadline-exceeded"
    retryable = True


def _tree(root: type[GlossaError]) -> list[type[GlossaError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_CODE: Mapping[str, type[GlossaError]] = {kind.code: kind for kind in _tree(GlossaError)}
# the first class of each status in the tree above: BadRequest for 400, not DecodeError
BY_STATUS: Mapping[int, type[GlossaError]] = {kind.status: kind for kind in reversed(_tree(GlossaError))}


def from_problem(status: int, problem: Mapping[str, object]) -> GlossaError:
    """Rebuild the error that another Glossa process sent as problem details.

    An unknown code becomes a ReplicaError: the other side is not Glossa, or is newer.
    """
    kind = BY_CODE.get(str(problem.get("code")), ReplicaError)
    detail = str(problem.get("detail") or f"the model server answered {status} without details")
    hint, retry_after_s = problem.get("hint"), problem.get("retry_after_s")
    return kind(
        detail,
        hint=hint if isinstance(hint, str) else None,
        retry_after_s=_seconds(retry_after_s),
    )


def _seconds(value: object) -> float | None:
    """Return the seconds to wait, if they are valid: not NaN, not negative, at most a day."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_RETRY_AFTER_S else None
