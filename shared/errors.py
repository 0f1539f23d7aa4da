"""The error tree.

Each class knows its HTTP status, its stable code and whether a retry can help; doors map it to
a response in one place. A message states the value, then the expectation. Knows no HTTP library.

    GlossaError
    ├── BadRequest 400            malformed: cannot be read at all
    │   └── DecodeError 400       a wire body that does not parse
    ├── Forbidden 403             no verified principal
    ├── NotFound 404              unknown route, task, model, head, job (and every foreign id)
    ├── MethodNotAllowed 405      the route exists, but not for this method; carries allow
    ├── TooSlow 408               a body did not come to its end in time
    ├── Conflict 409              valid, but not in this state
    │   └── FingerprintMismatch   tokenizer of the caller is not the replica's
    ├── TooLarge 413              body, text, token or answer over a limit
    ├── UnsupportedMedia 415      a body that its headers call encoded, another format than JSON, or no UTF-8
    ├── Unprocessable 422         valid JSON that the task cannot take
    ├── Overloaded 429            admission is full; carries retry_after_s
    ├── ReplicaError 502          the model server answered something we cannot use
    ├── NotFinite 502             a row overflows in the model's dtype; a retry overflows again
    ├── Unavailable 503           the model server cannot be reached; carries retry_after_s
    └── DeadlineExceeded 504      the time of the request is over
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_RETRY_AFTER_S = 86_400.0


class GlossaError(Exception):
    """Root of every error a caller may see. Raised itself only for our own bugs (500)."""

    status: int = 500
    code: str = "internal"
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        """Keep the message, a way forward (`hint`) and, where known, seconds until a retry may succeed."""
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
    """A wire body (Open Inference Protocol v2) does not parse."""

    code = "decode-error"


class Forbidden(GlossaError):
    """The request carries no verified principal, or one that may not do this."""

    status = 403
    code = "forbidden"


class NotFound(GlossaError):
    """Unknown route, task, model, head or id; also every id that belongs to another tenant."""

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
    """A body did not come to its end in time."""

    status = 408
    code = "too-slow"


class Conflict(GlossaError):
    """The request is valid but the thing is not in a state that allows it."""

    status = 409
    code = "conflict"


class FingerprintMismatch(Conflict):
    """Caller and replica hold different tokenizers; answering would be wrong in silence."""

    code = "fingerprint-mismatch"


class TooLarge(GlossaError):
    """A body, text, list or answer is over its limit."""

    status = 413
    code = "too-large"


class UnsupportedMedia(GlossaError):
    """The headers name a content coding but identity, a type that announces another format, or a charset but UTF-8."""

    status = 415
    code = "unsupported-media"


class Unprocessable(GlossaError):
    """Valid JSON that the task cannot take: out of range, unknown parameter, missing mask."""

    status = 422
    code = "unprocessable"


class Overloaded(GlossaError):
    """Admission is full. `retry_after_s` is computed from backlog and measured speed."""

    status = 429
    code = "overloaded"
    retryable = True


class ReplicaError(GlossaError):
    """The model server answered, but with something that is not an answer."""

    status = 502
    code = "replica-error"
    retryable = True


class NotFinite(GlossaError):
    """The model's numbers for this row are not finite: the same row overflows again, in the same dtype."""

    status = 502
    code = "not-finite"


class Unavailable(GlossaError):
    """The model server cannot be reached, or is draining, or its breaker is open."""

    status = 503
    code = "unavailable"
    retryable = True


class DeadlineExceeded(GlossaError):
    """The time of the request is over; the work was dropped, not half done."""

    status = 504
    code = "deadline-exceeded"
    retryable = True


def _tree(root: type[GlossaError]) -> list[type[GlossaError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


BY_CODE: Mapping[str, type[GlossaError]] = {kind.code: kind for kind in _tree(GlossaError)}


def from_problem(status: int, problem: Mapping[str, object]) -> GlossaError:
    """Rebuild the error another Glossa process sent as problem details.

    An unknown code becomes a ReplicaError: the peer is not one of ours, or is newer than we are.
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
    """Return a peer's wait if it is one: not NaN, not negative, not more than a day."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_RETRY_AFTER_S else None
