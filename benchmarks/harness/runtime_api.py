"""Replaces two services on loopback: the Runtime API of Lambda, and the model server.

`awslambdaric` asks the Runtime API for events. This one hands out one event at a time. It notes when the runtime asked
and when it answered. Must not know what functions do or how they are started.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shared.messages import ModelOutput, Tensor
from shared.protocol import CallLimits, decode_call, encode_output

DEADLINE_S = 25.0
ARN = "arn:aws:lambda:us-east-1:000000000000:function:measured"
PREFIX = "/2018-06-01/runtime"
LIMITS = CallLimits(max_body_bytes=1 << 24, max_rows=512, max_tokens=1 << 17, max_row_tokens=512, vocab_size=1 << 20)


@dataclass(slots=True)
class Invocation:
    """The answer of the runtime to one event. When `error` comes before the first event, init has failed."""

    seconds: float
    body: bytes
    error: str = ""


@dataclass(slots=True)
class RuntimeApi:
    """Takes events and returns answers. `came` gets the time of each request of the runtime for an event."""

    port: int = 0
    events: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    answers: queue.Queue[Invocation] = field(default_factory=queue.Queue)
    came: queue.Queue[float] = field(default_factory=queue.Queue)
    began_s: float = 0.0

    def wait_ready(self, limit_s: float) -> float:
        """Return when the runtime asked for its first event. Raises RuntimeError when init fails or takes too long."""
        end_s = time.perf_counter() + limit_s
        while time.perf_counter() < end_s:
            if not self.answers.empty():
                raise RuntimeError(f"init failed: {self.answers.get().error}")
            try:
                return self.came.get(timeout=0.05)
            except queue.Empty:
                continue
        raise RuntimeError(f"the function was not ready after {limit_s:.0f} s")

    def invoke(self, event: dict[str, Any], limit_s: float = DEADLINE_S) -> Invocation:
        """Hand out one event and return its answer."""
        self.events.put(event)
        return self.answers.get(timeout=limit_s)


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """Serve a Runtime API while the block runs."""
    api = RuntimeApi()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            api.came.put(time.perf_counter())
            event = api.events.get()
            headers = {
                "Lambda-Runtime-Aws-Request-Id": "00000000-0000-4000-8000-000000000000",
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + DEADLINE_S) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": ARN,
                "Content-Type": "application/json",
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
            }
            body = json.dumps(event).encode()
            api.began_s = time.perf_counter()
            self.answer(200, body, headers)

        def do_POST(self) -> None:
            done_s = time.perf_counter()
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            is_good = self.path.endswith("/response")
            self.answer(202, b'{"status":"OK"}', {})
            api.answers.put(Invocation(done_s - api.began_s, body, "" if is_good else body.decode()[:400]))

    with _serving(Handler) as api.port:
        yield api


@dataclass(slots=True)
class FakeModelServer:
    """A model server that answers at once. `seconds` has the time that each call took in it."""

    port: int = 0
    seconds: list[float] = field(default_factory=list)


@contextmanager
def fake_model_server(n_labels: int) -> Iterator[FakeModelServer]:
    """Answer zeros for every row of every call while the block runs."""
    fake_server = FakeModelServer()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            self.answer(200, b"{}", {"Content-Type": "application/json"})

        def do_POST(self) -> None:
            began_s = time.perf_counter()
            data = self.rfile.read(int(self.headers["Content-Length"]))
            model = self.path.split("/")[3]
            decoded = decode_call(model, dict(self.headers), data, LIMITS)
            n_rows = len(decoded.call.row_lengths.int_values())
            logits = Tensor.floats([0.0] * n_rows * n_labels, (n_rows, n_labels))
            body = encode_output(decoded, model, "1", ModelOutput({"logits": logits}, {"forward": 0.0}))
            fake_server.seconds.append(time.perf_counter() - began_s)
            self.answer(200, body.data, dict(body.headers))

    with _serving(Handler) as fake_server.port:
        yield fake_server


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send one answer in one write."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n" + body)  # type: ignore[attr-defined] # of the base class
        self.flush_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a connection that ended with its process. Print other errors as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # typed by its own sockets


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
