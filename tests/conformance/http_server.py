"""An HTTP server over the handler of the infer function, as API Gateway calls it. It can keep what came.

Must not know any route.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from functions.http.resolver import Resolver
from tests.events import FakeContext, request


@dataclass
class Exchange:
    """What one client sent, and what it was answered."""

    method: str
    path: str
    user_agent: str
    body: str | None
    status: int
    answer: str


@dataclass
class Serving:
    """A running server: its address, and all exchanges so far."""

    url: str
    exchanges: list[Exchange] = field(default_factory=list)


@contextmanager
def serving(api: Resolver) -> Iterator[Serving]:
    """Serve an API on a free port of this machine, one request at a time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    found = Serving(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = _handler(api, found)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(api: Resolver, serving: Serving) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            text = _body(self)
            event = request(self.command, path, text, headers=dict(self.headers.items()))
            with lock:
                made = api.resolve(event, FakeContext())
                agent = self.headers.get("user-agent", "")
                serving.exchanges.append(
                    Exchange(self.command, path, agent, text, made["statusCode"], made["body"] or "")
                )
            _send(self, made)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing: the function logs."""

    return Handler


def _body(handler: BaseHTTPRequestHandler) -> str | None:
    """Return the body of a request, also one that comes in chunks."""
    data = b""
    if handler.headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(handler.rfile.readline(), 16):
            data += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
    else:
        data = handler.rfile.read(int(handler.headers.get("content-length") or 0))
    return data.decode() if data else None


def _send(handler: BaseHTTPRequestHandler, made: dict[str, Any]) -> None:
    data = (made["body"] if isinstance(made["body"], str) else json.dumps(made["body"])).encode()
    if made.get("isBase64Encoded"):
        data = base64.b64decode(data)
    handler.send_response(made["statusCode"])
    for name, values in made["multiValueHeaders"].items():
        for value in values:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
