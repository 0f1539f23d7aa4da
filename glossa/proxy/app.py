"""The way of a request through the proxy: checked, read within limits, signed, sent on, and its answer passed back.

An ASGI application. It writes one line for each request: method, path, status and time, never a header, a query, a body
or the token. Must not know how it is served.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glossa.proxy.guard import Guard, Received, Refusal
from glossa.proxy.headers import to_caller
from glossa.proxy.upstream import Upstream

if TYPE_CHECKING:
    import httpx2

MAX_BODY_BYTES = 10 << 20  # what API Gateway takes
MAX_ANSWER_BYTES = 16 << 20  # more than it gives
BODY_S = 30.0  # until a body has come
REDIRECTS = frozenset({301, 302, 303, 307, 308})
SHOWN_CHARS = 120
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Passes requests on to one API. `http` is an httpx2.AsyncClient, and `say` writes a line for a person."""

    guard: Guard
    upstream: Upstream
    http: httpx2.AsyncClient
    say: Callable[[str], object]
    max_body_bytes: int = MAX_BODY_BYTES
    max_answer_bytes: int = MAX_ANSWER_BYTES
    body_s: float = BODY_S

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or close the connections to the API when the server ends."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        began_s = time.monotonic()
        received = Received(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
        try:
            status = await self._answer(received, receive, send)
        except Refusal as refusal:
            status = refusal.status
            await _refuse(send, refusal)
        shown = ascii(received.path.decode("latin-1")[:SHOWN_CHARS])[1:-1]
        self.say(f"{received.method} {shown} {status} {(time.monotonic() - began_s) * 1000:.0f} ms")

    async def _live(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await self.http.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, received: Received, receive: Receive, send: Send) -> int:
        self.guard.check(received)
        body = await self._body(received, receive)
        request = await asyncio.to_thread(self.upstream.request, received, body)  # credentials may have to be fetched
        return await self._pass_on(request, send)

    async def _body(self, received: Received, receive: Receive) -> bytes:
        """Return the body, which the signature covers as a whole. Raises Refusal for one too large or too slow."""
        announced = received.all_of(b"content-length")
        if announced and int(announced[0]) > self.max_body_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self.body_s):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > self.max_body_bytes:
                        raise self._too_large()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "bad-request", "got a connection that ended, expected the rest of the body")
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            said = f"got no whole body within {self.body_s:g} s, expected it sooner"
            raise Refusal(408, "too-slow", said, {"connection": "close"}) from None

    def _too_large(self) -> Refusal:
        said = f"got a body of more than {self.max_body_bytes} bytes, at most that; larger work is a batch job"
        return Refusal(413, "too-large", said, {"connection": "close"})

    async def _pass_on(self, request: httpx2.Request, send: Send) -> int:
        import httpx2  # noqa: PLC0415 - takes 150 ms, and only a proxy needs it

        try:
            answer = await self.http.send(request, stream=True, follow_redirects=False)
        except httpx2.TimeoutException:
            raise Refusal(504, "deadline-exceeded", f"no answer from {request.url.host} in time") from None
        except httpx2.HTTPError as error:
            said = f"no answer from {request.url.host} ({type(error).__name__}); check the address and the network"
            raise Refusal(502, "no-answer", said) from None
        try:
            self._check_answer(answer)
            headers = to_caller(answer.headers.raw)
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            if await self._stream(answer, send):
                await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()
        return answer.status_code

    async def _stream(self, answer: httpx2.Response, send: Send) -> bool:
        """Pass the body on; False when it broke off or is too large, so that the server ends the connection."""
        import httpx2  # noqa: PLC0415 - takes 150 ms, and only a proxy needs it

        n_bytes = 0
        try:
            async for chunk in answer.aiter_raw():
                n_bytes += len(chunk)
                if n_bytes > self.max_answer_bytes:
                    self.say(f"got an answer of more than {self.max_answer_bytes} bytes, and ended it there")
                    return False
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx2.HTTPError as error:
            self.say(f"the answer broke off ({type(error).__name__})")
            return False
        return True

    def _check_answer(self, answer: httpx2.Response) -> None:
        """Refuse an answer that leads elsewhere, or that is larger than any of the API."""
        if answer.status_code in REDIRECTS:
            said = f"the API answered {answer.status_code} with another address, which is not followed; check --url"
            raise Refusal(502, "redirect", said)
        announced = answer.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self.max_answer_bytes:
            raise Refusal(502, "too-large", f"got an answer of {announced} bytes, at most {self.max_answer_bytes}")


async def _refuse(send: Send, refusal: Refusal) -> None:
    problem = {
        "type": f"urn:glossa:proxy:{refusal.code}", "title": refusal.code.replace("-", " "), "status": refusal.status,
        "detail": refusal.detail, "code": refusal.code,
    }  # fmt: skip
    data = json.dumps(problem).encode()
    own = {"content-type": "application/problem+json", "content-length": str(len(data)), "cache-control": "no-store"}
    headers = [(name.encode(), value.encode()) for name, value in (own | refusal.headers).items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
