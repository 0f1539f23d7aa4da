"""A gateway in memory that takes requests with a right signature alone, and a caller of the proxy in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from glossa.proxy.app import Proxy
from glossa.proxy.guard import Guard
from glossa.proxy.upstream import Upstream

TOKEN = "t" * 32
PORT = 8788
HERE = f"http://127.0.0.1:{PORT}"
API = "https://abc1.execute-api.eu-central-1.amazonaws.com/live"
CREDENTIALS = Credentials("testing", "a-secret-key", "a-session-token")
Answer = Callable[[httpx2.Request], httpx2.Response]


def recomputed(sent: httpx2.Request) -> str:
    """Return the signature that AWS expects of a request, computed anew from what arrived, by botocore's own code."""
    authorization = sent.headers["authorization"]
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    path = sent.url.raw_path.decode().partition("?")[0]
    query = parse_qsl(sent.url.query.decode(), keep_blank_values=True)  # AWS writes the query anew, too
    again = AWSRequest(sent.method, f"https://{sent.url.host}{path}", data=sent.content, params=query)
    for name in names:
        again.headers[name] = sent.headers[name]
    again.context["timestamp"] = sent.headers["x-amz-date"]
    signer = SigV4Auth(CREDENTIALS, "execute-api", "eu-central-1")
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))


class FakeGateway:
    """An API that takes signed requests alone. It keeps what it took."""

    def __init__(self, answer: Answer = lambda _: httpx2.Response(200, json={"ok": True})) -> None:
        self.answer = answer
        self.seen: list[httpx2.Request] = []

    def __call__(self, sent: httpx2.Request) -> httpx2.Response:
        """Answer a request whose signature is right."""
        self.seen.append(sent)
        if not sent.headers.get("authorization", "").endswith(f"Signature={recomputed(sent)}"):
            return httpx2.Response(403, json={"message": "The request signature we calculated does not match"})
        found = self.answer(sent)
        if found.is_stream_consumed:  # the proxy streams what nobody has read yet
            return httpx2.Response(found.status_code, headers=found.headers, stream=httpx2.ByteStream(found.content))
        return found


class Asked:
    """What a caller was answered, and what the proxy wrote."""

    def __init__(self, response: httpx2.Response, said: list[str]) -> None:
        self.status, self.headers, self.said = response.status_code, response.headers, said
        self.json = response.json() if response.content else None


def ask(
    gateway: Answer,
    method: str = "POST",
    path: str = "/v1/fill-mask",
    headers: Mapping[str, str] | list[tuple[str, str]] = (),  # type: ignore[assignment] # an empty tuple stands for none
    content: Any = b'{"inputs": "x"}',
    *,
    token: str | None = TOKEN,
    guard: Guard | None = None,
    url: str = API,
    credentials: Callable[[], Any] = lambda: CREDENTIALS,
    **limits: Any,
) -> Asked:
    """Send one request through a proxy in this process."""
    said: list[str] = []

    async def run() -> httpx2.Response:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(gateway))
        app: Any = Proxy(guard or Guard(TOKEN, PORT), Upstream.at(url, None, credentials), http, said.append, **limits)
        given = dict(headers) | ({"authorization": f"Bearer {token}"} if token else {})
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as caller:
            return await caller.request(method, HERE + path, headers=given, content=content)

    return Asked(asyncio.run(run()), said)


def scope_of(method: str, path: bytes) -> dict[str, Any]:
    """Return an ASGI request with the token, its path as it is."""
    headers = [(b"host", f"127.0.0.1:{PORT}".encode()), (b"authorization", b"Bearer " + TOKEN.encode())]
    return {"type": "http", "method": method, "raw_path": path, "query_string": b"", "headers": headers}


def messages(gateway: Answer, scope: dict[str, Any], **limits: Any) -> list[Any]:
    """Send an ASGI request as it is; return the messages of its answer."""
    found: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        found.append(message)

    async def run() -> None:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(gateway))
        upstream = Upstream.at(API, None, lambda: CREDENTIALS)
        await Proxy(Guard(TOKEN, PORT), upstream, http, lambda _: None, **limits)(scope, receive, send)

    asyncio.run(run())
    return found


def statuses(gateway: Answer, scope: dict[str, Any]) -> list[int]:
    """Send an ASGI request as it is; return the statuses of its answers."""
    return [message["status"] for message in messages(gateway, scope) if "status" in message]
