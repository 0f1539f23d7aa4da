"""Runs flows: sends their requests with httpx2 and lets their pauses pass, on a thread or on an event loop.

`Method` makes one method of both clients from a function that returns a flow. Must not know tasks or jobs.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import urlsplit

from glossa.client.address import THIS_MACHINE
from glossa.client.errors import ApiError, BadAnswer, InvalidRequest, Unavailable
from glossa.client.flows import FIRST_REDIRECT, Flow, Form, Pause, Request, Response

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 35.0  # API Gateway answers within 29 s
CONNECT_S = 5.0
CHUNK_BYTES = 1 << 20
AGENT = {"user-agent": "glossa-client"}
UNCHANGED = {"accept-encoding": "identity"}  # a file is stored as it is sent, and its digest is of these bytes

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


class Http:
    """Sends requests on this thread. `client` may be an httpx2.Client of the caller's own."""

    def __init__(
        self,
        client: httpx2.Client | None = None,
        timeout_s: float = TIMEOUT_S,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        import httpx2  # noqa: PLC0415 - takes 150 ms, and only calls need it

        self.timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))
        self.client = client or httpx2.Client()
        self.pause = pause

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end; return what it returns."""
        answer: Response | None = None
        failure: ApiError | None = None
        while True:
            try:
                step = flow.send(answer) if failure is None else flow.throw(failure)
            except StopIteration as done:
                found: T = done.value
                return found
            answer = failure = None
            try:
                if isinstance(step, Pause):
                    self.pause(step.seconds)
                else:
                    answer = self._send(step)
            except ApiError as error:
                failure = error

    def _send(self, request: Request) -> Response:
        method, url, timeout = request.method, request.url, self.timeout
        with (
            _told(url),
            _content(request) as content,
            self.client.stream(method, url, timeout=timeout, **content) as response,
        ):
            if request.sink is None or response.status_code >= FIRST_REDIRECT:
                return Response(response.status_code, dict(response.headers), response.read())
            for chunk in response.iter_bytes(CHUNK_BYTES):
                request.sink(chunk)
            return Response(response.status_code, dict(response.headers))


class AsyncHttp:
    """Sends requests on an event loop. `client` may be an httpx2.AsyncClient of the caller's own."""

    def __init__(
        self,
        client: httpx2.AsyncClient | None = None,
        timeout_s: float = TIMEOUT_S,
        pause: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        import anyio  # noqa: PLC0415 - httpx2 is built on it
        import httpx2  # noqa: PLC0415 - takes 150 ms, and only calls need it

        self.timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))
        self.client = client or httpx2.AsyncClient()
        self.pause = pause or anyio.sleep

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end; return what it returns."""
        answer: Response | None = None
        failure: ApiError | None = None
        while True:
            try:
                step = flow.send(answer) if failure is None else flow.throw(failure)
            except StopIteration as done:
                found: T = done.value
                return found
            answer = failure = None
            try:
                if isinstance(step, Pause):
                    await self.pause(step.seconds)
                else:
                    answer = await self._send(step)
            except ApiError as error:
                failure = error

    async def _send(self, request: Request) -> Response:
        with _told(request.url), _content(request) as content:
            method, url, timeout = request.method, request.url, self.timeout
            async with self.client.stream(method, url, timeout=timeout, **content) as response:
                if request.sink is None or response.status_code >= FIRST_REDIRECT:
                    return Response(response.status_code, dict(response.headers), await response.aread())
                async for chunk in response.aiter_bytes(CHUNK_BYTES):
                    request.sink(chunk)
                return Response(response.status_code, dict(response.headers))


class Runner(Generic[S]):
    """What has methods that are run on this thread. `target` is what their flows are about."""

    def __init__(self, target: S, http: Http) -> None:
        self.target = target
        self.http = http


class AsyncRunner(Generic[S]):
    """What has methods that are run on an event loop."""

    def __init__(self, target: S, http: AsyncHttp) -> None:
        self.target = target
        self.http = http


class Method(Generic[S, P, T]):
    """A method of a Runner and of an AsyncRunner, made of a function from their target to a flow.

    A Runner's method returns what the flow returns, an AsyncRunner's method an awaitable of it.
    """

    def __init__(self, flow: Callable[Concatenate[S, P], Flow[T]]) -> None:
        self.flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, runner: None, owner: type) -> Self: ...
    @overload
    def __get__(self, runner: Runner[S], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, runner: AsyncRunner[S], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, runner: Runner[S] | AsyncRunner[S] | None, owner: type) -> Any:
        """Return the method of a client."""
        if runner is None:
            return self
        target, http = runner.target, runner.http

        @wraps(self.flow)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return http.run(self.flow(target, *args, **kwargs))

        return method


@contextmanager
def _content(request: Request) -> Iterator[dict[str, Any]]:
    """Yield headers and body of a request as httpx2 takes them, with the file of a form open."""
    headers = {**AGENT, **request.headers, **(UNCHANGED if request.sink else {})}
    given: dict[str, Any] = {"headers": headers, "follow_redirects": False}
    if not isinstance(request.body, Form):
        yield given | {"content": request.body}
        return
    with request.body.path.open("rb") as file:
        yield given | {"data": dict(request.body.fields), "files": {"file": (request.body.name, file)}}


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn the errors of httpx2 into ours, with what to do about them."""
    import httpx2  # noqa: PLC0415 - takes 150 ms, and only calls need it

    try:
        yield
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        parts = urlsplit(url)
        raise InvalidRequest(f"got {parts.scheme}://{parts.netloc}, expected an address of https ({error})") from None
    except (httpx2.LocalProtocolError, UnicodeError) as error:
        raise InvalidRequest(
            f"got a host, a method or a header that HTTP cannot carry ({error}), expected visible ASCII characters"
        ) from None
    except httpx2.DecodingError as error:
        where = urlsplit(url).netloc
        raise BadAnswer(
            f"got an answer of {where} that cannot be unpacked ({error}), expected that of Glossa"
        ) from None
    except httpx2.HTTPError as error:
        raise no_answer(url, error) from None


def no_answer(url: str, error: Exception) -> Unavailable:
    """Return the error of a request without an answer, with what to do about it."""
    parts = urlsplit(url)
    hint = f"check the address, and that this machine can reach {parts.hostname}"
    if parts.hostname in THIS_MACHINE:
        hint = "start the service with `make run`, or check the address"
    return Unavailable(f"no answer from {parts.netloc}: {type(error).__name__}", hint=hint, retryable=True)
