"""The errors that the client raises, each with a message for people.

An answer of the API that is an error becomes an ApiError with the API's own text. Must not know requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A call that was not answered as asked.

    `status` is the HTTP status, or None without an answer. `code` is the API's name of the error, or empty. `hint` says
    what the caller can do.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.hint = hint


class InvalidRequest(ApiError):
    """The client refuses a request before it is sent."""


class NotFound(ApiError):
    """The API does not know the route or the job."""


class Unavailable(ApiError):
    """No answer came, or a server refused for now; a later call may succeed."""


class BadAnswer(ApiError):
    """An answer came that the jobs API does not give, such as a page of HTML or bytes with another digest."""


_BY_STATUS: Mapping[int, type[ApiError]] = {404: NotFound, 502: BadAnswer, 503: Unavailable}


def error_of(status: int, body: Mapping[str, Any]) -> ApiError:
    """Return the error that an answer tells: problem details of the API, or the message of a gateway before it."""
    kind = _BY_STATUS.get(status, ApiError)
    if "code" not in body:
        return kind(f"the API answered {status}: {body.get('message', body)}", status=status)
    detail = str(body.get("detail") or f"the API answered {status} without details")
    hint = body.get("hint")
    return kind(detail, status=status, code=str(body["code"]), hint=hint if isinstance(hint, str) else None)
