"""Load: bounded, counted, the same from both clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks import slow_load
from benchmarks.load import HOST, MOST_CONNECTIONS, MOST_SECONDS, drive, http_request, is_compiled

ANSWER = b'{"parameters":{"queue_s":0.25}}'


class _Server(BaseHTTPRequestHandler):
    """Answers 200, or 429 to `bad`; says how long a call waited, as our server does."""

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
    with ThreadingHTTPServer((HOST, 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_python_client_counts_what_came_back(port: int) -> None:
    """Answers, refusals and the longest wait are counted; every other request is refused here."""
    requests = [http_request("/x", {"a": "b"}, body, port) for body in (b"good\n1", b"bad")]
    seen = slow_load.drive(requests, port, 2, 0.3, 0.0, waits=True)
    assert seen["n_broken"] == 0
    assert abs(seen["n_answered"] - 2 * seen["n_refused"]) <= 2
    assert seen["longest_wait_s"] == 0.25
    assert 0 < seen["p50_ms"] <= seen["p99_ms"] <= seen["max_ms"]


def test_the_compiled_client_counts_what_came_back(port: int, tmp_path: Path) -> None:
    """Bodies with any bytes go through wrk as they are, in turn."""
    if not is_compiled():
        pytest.skip("wrk is not installed")
    requests = [http_request("/x", {"a": "b"}, body, port) for body in (b"\x00\n12\r\n\r\n", b"bad")]
    loaded = drive(requests, port, tmp_path, connections=1, seconds=1, waits=True, pause_ms=5.0)
    assert loaded.n_broken == 0
    assert abs(loaded.n_answered - 2 * loaded.n_refused) <= 2
    assert loaded.longest_wait_s == 0.25


@pytest.mark.parametrize("is_compiled_client", [True, False])
def test_a_lead_does_not_count(port: int, tmp_path: Path, *, is_compiled_client: bool) -> None:
    """Of a load of three seconds with a lead of two a third counts."""
    if is_compiled_client and not is_compiled():
        pytest.skip("wrk is not installed")
    requests, before, lead_s = [http_request("/x", {"a": "b"}, b"good", port)], _Server.n_seen, 2.0
    began_s = time.monotonic()
    if is_compiled_client:
        loaded = drive(requests, port, tmp_path, connections=1, seconds=1, lead_s=lead_s)
        seconds, n_counted = loaded.seconds, loaded.n_answered
    else:
        seen = slow_load.drive(requests, port, 1, 1.0, 0.0, waits=False, lead_s=lead_s)
        seconds, n_counted = seen["seconds"], seen["n_answered"]
    assert 0 < n_counted < 0.7 * (_Server.n_seen - before)
    assert 0 < seconds <= time.monotonic() - began_s - lead_s


def test_a_lead_has_no_pauses(tmp_path: Path) -> None:
    """With pauses a request that is sent does not say that an answer has just come."""
    with pytest.raises(ValueError, match="lead"):
        drive([b""], 1, tmp_path, connections=1, seconds=1, lead_s=1.0, pause_ms=1.0)


@pytest.mark.parametrize(
    ("connections", "seconds"), [(0, 1.0), (MOST_CONNECTIONS + 1, 1.0), (1, 0.0), (1, MOST_SECONDS + 1)]
)
def test_load_is_bounded(connections: int, seconds: float, tmp_path: Path) -> None:
    """No load without bounds is sent."""
    with pytest.raises(ValueError, match="at most"):
        drive([b""], 1, tmp_path, connections=connections, seconds=seconds)
