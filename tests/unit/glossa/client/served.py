"""The infer function and the jobs API in this process, as servers for httpx2. Signed links read and write memory."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

import httpx2

from functions.http.resolver import Resolver
from glossa.client import AsyncClient, Client, Retries
from tests.events import FakeContext, request
from tests.unit.functions.jobs.world import World

URL = "http://api.example/live"
STAGE = "/live"
EAGER = Retries(jitter=lambda: 1.0)


def no_pause(_: float) -> None:
    """Let no time pass."""


async def no_async_pause(_: float) -> None:
    """Let no time pass."""


def answer_of(api: Resolver, sent: httpx2.Request) -> httpx2.Response:
    """Answer as API Gateway and the function do. What the function logs goes elsewhere."""
    event = request(
        sent.method, sent.url.path.removeprefix(STAGE), sent.content.decode() or None, headers=dict(sent.headers),
        queryStringParameters=dict(parse_qsl(sent.url.query.decode())) or None,
    )  # fmt: skip
    with redirect_stdout(io.StringIO()):
        made = api.resolve(event, FakeContext())
    data = base64.b64decode(made["body"]) if made.get("isBase64Encoded") else str(made["body"]).encode()
    headers = [(name, value) for name, values in made["multiValueHeaders"].items() for value in values]
    return httpx2.Response(made["statusCode"], headers=headers, content=data)


def client_of(handler: Callable[[httpx2.Request], httpx2.Response], **settings: Any) -> Client:
    """Return a client whose requests a function answers."""
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    return Client(settings.pop("url", URL), http_client=http, **({"pause": no_pause, "retries": EAGER} | settings))


def async_client_of(handler: Callable[[httpx2.Request], httpx2.Response], **settings: Any) -> AsyncClient:
    """Return the client for event loops whose requests a function answers."""
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    return AsyncClient(URL, http_client=http, **({"pause": no_async_pause, "retries": EAGER} | settings))


@dataclass
class JobsServer:
    """Answers requests of the API by the resolver of a world, and signed links by its objects.

    `spoil` changes the bytes of each download. With `runs`, a job that is started runs at once to its end.
    """

    world: World
    runs: bool = True
    spoil: Callable[[bytes], bytes] = bytes
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, sent: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        self.seen.append((sent.method, str(sent.url)))
        with redirect_stdout(io.StringIO()):
            return self.answer(sent)

    def answer(self, sent: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        if sent.url.scheme == "memory":
            return self._object(sent)
        answered = self._ask(sent)
        if sent.url.path.endswith("/start") and self.runs:
            self.world.run()
        return answered

    def _ask(self, sent: httpx2.Request) -> httpx2.Response:
        asked = json.loads(sent.content) if sent.content else None
        query = dict(parse_qsl(sent.url.query.decode())) or None
        path = sent.url.path.removeprefix(STAGE)
        status, answer = self.world.ask(
            sent.method, path, asked, headers=dict(sent.headers), queryStringParameters=query
        )
        return httpx2.Response(status, json=answer)

    def _object(self, sent: httpx2.Request) -> httpx2.Response:
        bucket, key = sent.url.host, sent.url.path[1:]
        if sent.method == "GET":
            return httpx2.Response(200, content=self.spoil(b"".join(self.world.objects.read(bucket, key))))
        assert len(sent.content) == int(sent.headers["content-length"])
        form = fields_of(sent.headers["content-type"], sent.content)
        self.world.objects.put(bucket, form["key"].decode(), form["file"])
        return httpx2.Response(204)


def fields_of(content_type: str, raw: bytes) -> dict[str, bytes]:
    """Read a form as a server does."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw)
    parts: Any = message.get_payload()
    found: dict[str, bytes] = {}
    for part in parts:
        assert isinstance(part, Message)
        found[str(part.get_param("name", header="content-disposition"))] = bytes(part.get_payload(decode=True))  # type: ignore[arg-type] # none of these parts is multipart itself
    return found
