"""Calls an ASGI application in this process, as a server with a path prefix would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Reply:
    """What came back: status, lower-case headers, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    prefix: str = "",
) -> Reply:
    """Send one request and collect its answer. A body given in chunks comes without a content-length."""
    chunks = [body] if isinstance(body, bytes) else list(body)
    sent = dict(headers or {})
    if isinstance(body, bytes):
        sent.setdefault("content-length", str(len(body)))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": prefix + path, "raw_path": (prefix + path).encode(), "root_path": prefix, "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    inbox = [{"type": "http.request", "body": c, "more_body": i + 1 < len(chunks)} for i, c in enumerate(chunks)]
    outbox: list[Message] = []

    async def receive() -> Message:
        if inbox:
            return inbox.pop(0)
        await asyncio.Event().wait()  # the caller keeps the connection open
        raise AssertionError("never reached")

    async def send(message: Message) -> None:
        outbox.append(message)

    await app(scope, receive, send)
    start = next(message for message in outbox if message["type"] == "http.response.start")
    data = b"".join(message.get("body", b"") for message in outbox if message["type"] == "http.response.body")
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, data)
