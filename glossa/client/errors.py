"""The errors that the client raises, each with a message for people. Must not know the HTTP library.

ApiError
├── InvalidRequest            refused here, before it was sent
├── BadRequest 400            cannot be read
├── Unauthenticated 401       no key, or one that is not valid
├── Forbidden 403             the key or the signature does not open this route
├── NotFound 404              unknown route, task, model, head or job
├── Conflict 409              the state of the job does not allow it
├── TooLarge 413              over a limit; the hint says which way is left, often a batch job
├── Unprocessable 422         valid JSON that the task cannot take
├── Overloaded 429            too many requests; has `retry_after_s`
├── BadAnswer 502             an answer came that Glossa does not give
├── Unavailable 503           no answer came, or the service is not ready
├── DeadlineExceeded 504      the time of the request is over
└── NotEnded                  a job has not ended within the time that the caller gave
"""

from __future__ import annotations

from collections.abc import Mapping

RETRYABLE = frozenset({408, 429, 502, 503, 504})  # where the answer does not say itself whether a retry may help


class ApiError(Exception):
    """A call that was not answered as asked.

    `status` is the HTTP status, or None without an answer. `code` is the API's name of the error, or empty, and `type`
    the same as a URN. `hint` says what the caller can do. `request_id` names the request in the logs of the service.
    `retry_after_s` is how long the service asks to wait. `retryable` tells whether the same call may succeed later.

        try:
            client.text_classification("The team won.", model="nope")
        except NotFound as error:
            print(error.status, error.code, error.message, error.request_id)
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        hint: str | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.hint = hint
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.retryable = status in RETRYABLE if retryable is None else retryable

    @property
    def type(self) -> str:
        """The problem type of the error (RFC 9457), empty if the answer was none of Glossa's own."""
        return f"urn:glossa:error:{self.code}" if self.code else ""

    def __str__(self) -> str:
        """Return the message, the hint, and the id of the request."""
        notes = [self.hint or "", f"request {self.request_id}" if self.request_id else ""]
        return "; ".join([self.message, *filter(None, notes)])


class InvalidRequest(ApiError):
    """The client refuses a request before it is sent."""


class BadRequest(ApiError):
    """The API cannot read the request."""


class Unauthenticated(ApiError):
    """The request has no key or token, or one that is unknown, revoked or expired."""


class Forbidden(ApiError):
    """The scopes of the key do not open this route, or the signature is missing or wrong."""


class NotFound(ApiError):
    """The API does not know the route, task, model, head or job."""


class Conflict(ApiError):
    """The state of the job does not allow it."""


class TooLarge(ApiError):
    """A body, text, list or answer is over its limit."""


class Unprocessable(ApiError):
    """The task cannot take these inputs or parameters."""


class Overloaded(ApiError):
    """The service is busy, or the caller has sent more than it may. `retry_after_s` says when to try again."""


class BadAnswer(ApiError):
    """An answer came that Glossa does not give, such as a page of HTML or bytes with another digest."""


class Unavailable(ApiError):
    """No answer came, or the service is not ready; a later call may succeed."""


class DeadlineExceeded(ApiError):
    """The service could not answer within the time of a request."""


class NotEnded(ApiError):
    """A batch job has not ended within the time that the caller gave. It goes on."""


BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 413: TooLarge,
    422: Unprocessable, 429: Overloaded, 502: BadAnswer, 503: Unavailable, 504: DeadlineExceeded,
}  # fmt: skip
