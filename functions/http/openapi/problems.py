"""The errors of the API: their forms, which statuses an operation can answer with, and how the document says so.

Must not know any one route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from shared.content_types import JSON_TYPE, PROBLEM_TYPE
from shared.errors import BY_STATUS

# By the gateway or the function: no caller, no right, too many requests, a bug of ours, no model server, no time.
OF_EVERY_OPERATION = (401, 403, 429, 500, 502, 503, 504)
OF_A_BODY = (400, 413, 415, 422)
BY_THE_GATEWAY = (401, 403, 413, 429, 502, 503, 504)  # then always problem details, of the type application/json
TITLES = {401: "Unauthorized", 500: "InternalError"}
WORDS = {
    400: "The request cannot be read.",
    401: "There is no token, or it is not valid; the gateway says so.",
    403: "Nobody was verified, or the caller may not do this.",
    404: "There is no such task, model, head, job or recipe.",
    409: "The state does not allow it, or the tokenizers of function and model server differ.",
    413: "A body, text, list or answer is over a limit.",
    415: "The headers say that the body is no plain JSON in UTF-8.",
    422: "Valid JSON that is no valid request.",
    429: "Too many requests; `Retry-After` says when to try again, if it is known.",
    500: "The service failed; the fault is not the request's.",
    502: "The model server's answer cannot be used.",
    503: "The model server takes no calls now.",
    504: "The time of the request is over.",
}


class FieldFault(BaseModel):
    """What is wrong with one field."""

    field: str
    got: str
    expected: str


class Problem(BaseModel):
    """Problem details, RFC 9457: what was got, then what was expected."""

    content_type: ClassVar[str] = PROBLEM_TYPE

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    hint: str | None = Field(default=None, description="a way forward")
    retry_after_s: float | None = None
    instance: str | None = None
    errors: list[FieldFault] | None = Field(default=None, description="the fields of a body that are wrong")


class ForeignError(BaseModel):
    """Base of the errors of other ecosystems."""

    content_type: ClassVar[str] = JSON_TYPE


class OpenAIErrorFacts(BaseModel):
    """What OpenAI says of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(ForeignError):
    """An error of OpenAI: what was got, then what was expected."""

    bad_request: ClassVar[int] = 400  # where others say 422

    error: OpenAIErrorFacts


class CohereError(ForeignError):
    """An error of Cohere: what was got, then what was expected."""

    message: str


class TeiError(ForeignError):
    """An error of TEI or Hugging Face: what was got, then what was expected."""

    error: str
    error_type: str


class RankingError(ForeignError):
    """An error for clients of Cohere, Jina and TEI, which share the route."""

    message: str
    error: str
    error_type: str
    detail: str


class ProtocolError(Problem):
    """A problem with the key `error`, which clients of the Open Inference Protocol show."""

    content_type: ClassVar[str] = JSON_TYPE

    error: str


class ModelsProblem(Problem):
    """A problem with the error that clients of OpenAI read."""

    error: OpenAIErrorFacts


class RankingProblem(Problem):
    """A problem with the message that clients of Cohere read."""

    message: str


def refused_with(statuses: Iterable[int], kind: type[BaseModel]) -> list[int]:
    """Return statuses as a form of errors has them, sorted. OpenAI says 400 instead of 422."""
    found = set(statuses)
    if issubclass(kind, OpenAIError) and 422 in found:  # noqa: PLR2004 - the status of Unprocessable
        found = found - {422} | {400}
    return sorted(found)


def name_of(status: int, kind: type[BaseModel]) -> str:
    """Return the name of the response in the document's components."""
    title = TITLES.get(status) or BY_STATUS[status].__name__
    return title if kind is Problem else f"{kind.__name__}{title}"


def response(status: int, kind: type[BaseModel]) -> dict[str, Any]:
    """Return the response of one status in one form."""
    own, problem = ({"$ref": f"#/components/schemas/{each.__name__}"} for each in (kind, Problem))
    content_type: str = getattr(kind, "content_type", JSON_TYPE)
    if status not in BY_THE_GATEWAY:
        content: dict[str, Any] = {content_type: own}
    elif status == 401:  # noqa: PLR2004 - the gateway's alone
        content = {JSON_TYPE: problem}
    elif content_type != JSON_TYPE:
        content = {content_type: own, JSON_TYPE: problem}
    else:
        content = {JSON_TYPE: own if issubclass(kind, Problem) else {"anyOf": [own, problem]}}
    headers = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}} if status in (429, 503) else {}
    return {
        "description": WORDS[status],
        "headers": {**HEADER_REFS, **headers},
        "content": {name: {"schema": schema} for name, schema in content.items()},
    }


HEADERS: Mapping[str, Any] = {
    "RequestId": {"description": "id of the request, for support", "schema": {"type": "string"}},
    "ServerTiming": {"description": "milliseconds of each stage", "schema": {"type": "string"}},
    "RetryAfter": {"description": "seconds until a retry may succeed", "schema": {"type": "integer", "minimum": 1}},
}
HEADER_REFS: Mapping[str, Any] = {
    "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
    "Server-Timing": {"$ref": "#/components/headers/ServerTiming"},
}
