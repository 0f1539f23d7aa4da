"""An HTTP server that turns each request into an event as API Gateway does, and its answer back into one of HTTP.

Must not know any route.
"""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.contract.whole_api import WholeApi
from tests.events import FakeContext, request


@contextmanager
def serving(api: WholeApi) -> Iterator[str]:
    """Serve the API on a free port of this machine, one request at a time. What it logs goes to the error output."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    with redirect_stdout(sys.stderr):
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def event_of(method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return the event of a request. Bodies of every type are in base64, as the template has them."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    path = unquote(parts.path)
    event = request(method, path, base64.b64encode(body).decode() if body else None, headers=headers)
    event |= {
        "isBase64Encoded": bool(body),
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
    }
    event["requestContext"]["path"] = path  # served at the root, without a stage
    return event


def _handler(api: WholeApi) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            event = event_of(self.command, self.path, dict(self.headers.items()), body)
            with lock:
                made = api.resolve(event, FakeContext())
            data = made["body"] or ""
            raw = base64.b64decode(data) if made.get("isBase64Encoded") else data.encode()
            self.send_response(made["statusCode"])
            for name, values in made["multiValueHeaders"].items():
                for value in values:
                    self.send_header(name, value)
            if made["statusCode"] != 204:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def __getattr__(self, name: str) -> Any:
            """Return what answers a method: http.server looks for `do_GET` and the like, and all are answered here."""
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: Any) -> None:
            """Say nothing: the function logs."""

    return Handler
