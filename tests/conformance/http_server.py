"""An HTTP server over the handler of the infer function, as API Gateway calls it. It can keep what came.

Bodies go to the function in base64, because the API of the template takes every type as binary. The address has a
stage, as that of the template has, and the root is a domain of one's own. With a gateway, only callers pass whom the
authorizer knows. Must not know any route.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from functions.http.resolver import Resolver
from tests.conformance.gateway import Denied, Gateway
from tests.events import FakeContext, request

STAGE = "/live"


@dataclass(frozen=True)
class Exchange:
    """What one client sent, and what it was answered. Header names are in lower case.

    `in_stage` is false for a client that has lost the stage of the address, as it does which joins paths to the host.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes
    in_stage: bool = True


@dataclass
class Serving:
    """A running server: its address, and all exchanges so far."""

    url: str
    exchanges: list[Exchange] = field(default_factory=list)


@contextmanager
def serving(api: Resolver, gateway: Gateway | None = None) -> Iterator[Serving]:
    """Serve an API on a free port of this machine, one request at a time: below a stage, and at the root."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    found = Serving(f"http://127.0.0.1:{server.server_address[1]}{STAGE}")
    server.RequestHandlerClass = _handler(api, gateway, found)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def event_of(method: str, path: str, headers: Mapping[str, str], body: bytes, query: str = "") -> dict[str, Any]:
    """Return the event of a request as the gateway passes it to the function."""
    given = parse_qsl(query, keep_blank_values=True)
    return request(
        method, path, base64.b64encode(body).decode() if body else None, isBase64Encoded=bool(body),
        headers=dict(headers), queryStringParameters=dict(given) or None,
        multiValueQueryStringParameters={name: [v for n, v in given if n == name] for name, _ in given} or None,
    )  # fmt: skip


def _handler(api: Resolver, gateway: Gateway | None, serving: Serving) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            address = urlsplit(self.path)
            asked, body = unquote(address.path), _body(self)
            path = asked.removeprefix(STAGE) or "/"
            headers = {name.lower(): value for name, value in self.headers.items()}
            event = event_of(self.command, path, headers, body, address.query)
            try:
                if gateway is not None:
                    caller = gateway.context(self.command, path, headers.get("authorization", ""))
                    event["requestContext"]["authorizer"] = dict(caller)
            except Denied as denied:
                _send(self, denied.status, {}, json.dumps({"message": str(denied)}).encode())
                return
            with lock:
                made = api.resolve(event, FakeContext())
                data = _answered(made, headers)
                serving.exchanges.append(
                    Exchange(self.command, path, headers, body, made["statusCode"], data, asked.startswith(STAGE))
                )
            _send(self, made["statusCode"], made["multiValueHeaders"], data)

        do_GET = do_POST = do_HEAD = do_OPTIONS = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing: the function logs."""

    return Handler


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """Return the body of a request, also one that comes in chunks."""
    if handler.headers.get("transfer-encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("content-length") or 0))
    data = b""
    while size := int(handler.rfile.readline(), 16):
        data += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return data


def _answered(made: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    """Return the bytes of an answer. The gateway decodes a binary one for a caller that accepts something alone."""
    body = made["body"] or ""
    if made.get("isBase64Encoded") and headers.get("accept"):
        return base64.b64decode(body)
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _send(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, list[str]], data: bytes) -> None:
    handler.send_response(status)
    for name, values in headers.items():
        for value in values:
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)
