"""Calls of the API without the network: a flow yields requests and pauses, and is given the responses.

A flow is a generator. `runners.py` runs it on a thread or on an event loop, so that each call is written once. Retries
are here. Must not know the HTTP library, tasks or jobs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from glossa.client import signing
from glossa.client.address import joined
from glossa.client.errors import BY_STATUS, ApiError, BadAnswer, InvalidRequest
from glossa.client.retries import Retries

FIRST_REDIRECT, FIRST_ERROR = 300, 400  # Glossa answers neither; a key must not follow a redirect to another host
SHOWN_CHARS = 300
REQUEST_IDS = ("x-request-id", "x-amzn-requestid")
JSON_TYPE = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form of fields and one file, which is read from disk while it is sent."""

    fields: Mapping[str, str]
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `sink` takes the bytes of a good answer, as they come; without it they are the response's body."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Form = b""
    sink: Callable[[bytes], object] | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One response. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Pause:
    """Time that a flow lets pass."""

    seconds: float


T = TypeVar("T")
Flow: TypeAlias = Generator[Request | Pause, Any, T]


@dataclass(frozen=True, slots=True)
class Reply:
    """The JSON object of a good answer, and the id of its request."""

    json: dict[str, Any]
    request_id: str


@dataclass(frozen=True)
class Api:
    """The API at `base_url`, which includes the stage, and how it is called."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    region: str | None = None
    retries: Retries = field(default_factory=Retries)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Flow[Reply]:
        """Call a route; return the JSON object that it answers.

        Raises InvalidRequest for a path that is none, and for a body that JSON cannot hold.
        """
        url = joined(self.base_url, path + (f"?{urlencode(query, quote_via=quote)}" if query else ""))
        data = b"" if body is None else _encoded(body)
        given = {**JSON_TYPE, **(headers or {})}
        response = yield from self.tried(lambda: Request(method, url, self._authorized(method, url, given, data), data))
        found = _object(response)
        if found is None:
            said = f"got {response.status} and no JSON object from {url}, expected the API of Glossa there"
            raise BadAnswer(said, status=response.status)
        return Reply(found, request_id(response))

    def tried(self, make: Callable[[], Request], who: str = "the API") -> Flow[Response]:
        """Send a request until it is answered well, or until retries are over. `make` makes it anew each time.

        `who` answers, for messages.
        """
        for attempt in count(1):
            try:
                response: Response = yield make()
                if response.status < FIRST_REDIRECT:
                    return response
                error = error_of(response, who)
            except ApiError as no_answer:
                error = no_answer
            wait_s = self.retries.wait_s(attempt, error)
            if wait_s is None:
                raise error
            yield Pause(wait_s)
        raise AssertionError("This is a bug: count never ends.")

    def _authorized(self, method: str, url: str, headers: Mapping[str, str], data: bytes) -> Mapping[str, str]:
        """Return the headers with the key, else with a signature if the address is one of AWS."""
        if self.api_key:
            return signing.with_key(url, headers, self.api_key)
        region = self.region or signing.region_of(url)
        if region is None:
            return headers
        signing.check_private(url, "AWS credentials")
        return {**headers, **signing.signature(method, url, data, region, signing.aws_credentials())}


def error_of(response: Response, who: str = "the API") -> ApiError:
    """Return the error that a response tells: problem details of the API, or the message of a gateway before it."""
    if FIRST_REDIRECT <= response.status < FIRST_ERROR:
        return _redirect_error(response, who)
    kind = BY_STATUS.get(response.status, ApiError)
    found = _object(response) or {}
    code = found.get("code")
    said = found.get("detail") if code else found.get("message", found.get("Message"))
    text = said if isinstance(said, str) and said else response.body[:SHOWN_CHARS].decode("utf-8", "replace").strip()
    message = text if code else f"{who} answered {response.status}: {text or 'without details'}"
    hint, retryable = found.get("hint"), found.get("retryable")
    return kind(
        message,
        status=response.status,
        code=code if isinstance(code, str) else "",
        hint=hint if isinstance(hint, str) else None,
        request_id=request_id(response),
        retry_after_s=retry_after_s(response.headers.get("retry-after", "")),
        retryable=retryable if isinstance(retryable, bool) else None,
    )


def request_id(response: Response) -> str:
    """Return the id of the request: what Glossa says, else what the gateway says."""
    return next((response.headers[name] for name in REQUEST_IDS if response.headers.get(name)), "")


def retry_after_s(value: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Read the header Retry-After: seconds, or a date. None for anything else."""
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now()).total_seconds())


def _redirect_error(response: Response, who: str) -> BadAnswer:
    """Return the error of an answer that leads elsewhere. It is never followed: the key is for the named address."""
    where = response.headers.get("location", "")[:SHOWN_CHARS]
    found = f"got {response.status} from {who}, which leads to {where!r}, expected an answer"
    return BadAnswer(found, status=response.status, hint="if you trust that address, name it in place of this one")


def _encoded(body: object) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"got a body that JSON cannot hold ({error}), expected texts, finite numbers, lists and dicts"
        ) from None


def _object(response: Response) -> dict[str, Any] | None:
    try:
        found = json.loads(response.body or b"{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
