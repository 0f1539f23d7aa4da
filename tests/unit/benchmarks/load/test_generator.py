"""The load that wrk sends: it is bounded, and what comes back is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.load.generator import HOST, MAX_CONNECTIONS, MAX_SECONDS, http_request, send_load
from benchmarks.load.wrk import MISSING, can_install, find_wrk

ANSWER = b'{"parameters":{"queue_s":0.25}}'


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Ignore connections that wrk closes at its end."""


class _Server(BaseHTTPRequestHandler):
    """Answers 200, or 429 to the body `bad`. Reports a queue time, as our server does."""

    protocol_version = "HTTP/1.1"
    n_seen = 0

    def do_POST(self) -> None:
        _Server.n_seen += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(429 if body == b"bad" else 200)
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Serve on the loopback address."""
    with _QuietServer((HOST, 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def wrk() -> None:
    """Skip only where the set-up cannot bring wrk; anywhere else it must be there."""
    if find_wrk() is None:
        if can_install():
            pytest.fail(MISSING)
        pytest.skip(f"{MISSING}; this machine has no apt-get")


@pytest.mark.usefixtures("wrk")
def test_what_came_back_is_counted(port: int, tmp_path: Path) -> None:
    """Wrk sends bodies with any bytes unchanged and in order. Here every second request is refused."""
    requests = [http_request("/x", {"a": "b"}, body, port) for body in (b"\x00\n12\r\n\r\n", b"bad")]
    loaded = send_load(requests, port, tmp_path, connections=1, seconds=1, waits=True, pause_ms=5.0)
    assert loaded.n_broken == 0
    assert abs(loaded.n_answered - 2 * loaded.n_refused) <= 2
    assert loaded.longest_wait_s == 0.25
    assert 0 < loaded.p50_ms <= loaded.p99_ms <= loaded.max_ms


@pytest.mark.usefixtures("wrk")
def test_two_connections_without_pauses_are_counted(port: int, tmp_path: Path) -> None:
    """Requests without pauses go in order over all connections."""
    requests = [http_request("/x", {"a": "b"}, body, port) for body in (b"good\n1", b"bad")]
    loaded = send_load(requests, port, tmp_path, connections=2, seconds=1, waits=True)
    assert loaded.n_broken == 0
    assert abs(loaded.n_answered - 2 * loaded.n_refused) <= 2


@pytest.mark.usefixtures("wrk")
def test_a_lead_does_not_count(port: int, tmp_path: Path) -> None:
    """Of a load of three seconds with a lead of two, a third counts."""
    requests, before, lead_s = [http_request("/x", {"a": "b"}, b"good", port)], _Server.n_seen, 2.0
    began_s = time.monotonic()
    loaded = send_load(requests, port, tmp_path, connections=1, seconds=1, lead_s=lead_s)
    assert 0 < loaded.n_answered < 0.7 * (_Server.n_seen - before)
    assert 0 < loaded.seconds <= time.monotonic() - began_s - lead_s


def test_a_lead_has_no_pauses(tmp_path: Path) -> None:
    """With pauses, a sent request does not show that an answer has just come."""
    with pytest.raises(ValueError, match="lead"):
        send_load([b""], 1, tmp_path, connections=1, seconds=1, lead_s=1.0, pause_ms=1.0)


@pytest.mark.parametrize(
    ("connections", "seconds"), [(0, 1.0), (MAX_CONNECTIONS + 1, 1.0), (1, 0.0), (1, MAX_SECONDS + 1)]
)
def test_load_is_bounded(connections: int, seconds: float, tmp_path: Path) -> None:
    """A load without bounds is refused."""
    with pytest.raises(ValueError, match="at most"):
        send_load([b""], 1, tmp_path, connections=connections, seconds=seconds)
