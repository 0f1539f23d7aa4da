"""A tiny HTTP server on loopback that answers POST and GET from a function, for tests of our own client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    respond: Callable[[SentRequest], Reply]
    connections: set[Any]

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.connections.add(self.client_address)
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = type(self).respond(SentRequest(self.command, self.path, headers, data, 0.0))
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "content-length" not in reply.headers:
            self.send_header("content-length", str(len(reply.data)))
        self.end_headers()
        self.wfile.write(reply.data)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@contextmanager
def serving(respond: Callable[[SentRequest], Reply]) -> Iterator[tuple[str, set[Any]]]:
    """Serve on a free port; yields the base URL and the set of client addresses seen."""
    connections: set[Any] = set()
    kind = type("Handler", (_Handler,), {"respond": staticmethod(respond), "connections": connections})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", connections
    finally:
        server.shutdown()
        server.server_close()
