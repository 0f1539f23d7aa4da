"""Load on a server: prepared requests sent by wrk, a compiled client, in a closed loop with or without pauses.

Where wrk is missing, a Python client does it and every figure says so in its name. All load is bounded in
connections and seconds. Must not know what the requests ask.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import slow_load
from benchmarks.report import progress

SCRIPT = Path(__file__).parent / "wrk.lua"
HOST = "127.0.0.1"
ANSWER_S = 60.0
MOST_CONNECTIONS, MOST_SECONDS = 1024, 300.0
INSTALL = "wrk is not there: a Python client drives the load and takes cores itself. Install it: apt-get install wrk"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load. `n_answered` counts every answer, `n_refused` those that are no 200s.

    `n_broken` counts connections that failed and answers that took over a minute. `longest_wait_s` is the longest
    time in the queue that our own answers tell of, -1 where nobody looked. After a lead, `seconds` and `n_answered`
    are of the time after it, all else of the whole load.
    """

    seconds: float
    n_answered: int
    n_refused: int
    n_broken: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    longest_wait_s: float

    @property
    def n_good(self) -> int:
        """Answers with status 200."""
        return self.n_answered - self.n_refused


def is_compiled() -> bool:
    """Whether wrk is there; say once what to do when it is not."""
    return shutil.which("wrk") is not None


def client_note() -> str:
    """Return what a row's name says of the client: nothing for the compiled one."""
    return "" if is_compiled() else " (Python client)"


def say_client() -> None:
    """Say that wrk is missing, where it is."""
    if not is_compiled():
        progress(INSTALL)


def http_request(path: str, headers: Mapping[str, str], data: bytes, port: int) -> bytes:
    """Return a whole POST request as it goes over a connection that stays open."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {HOST}:{port}",
        f"content-length: {len(data)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + data


def drive(
    requests: Sequence[bytes],
    port: int,
    work: Path,
    *,
    connections: int,
    seconds: float,
    pause_ms: float = 0.0,
    waits: bool = False,
    lead_s: float = 0.0,
    name: str = "load",
) -> Loaded:
    """Send `requests` in turn, over and over, and return what came back.

    Each of `connections` sends its next request when it has its answer and a pause of `pause_ms` in the mean
    (exponential) is over. `waits` reads the queue time out of our own answers. With `lead_s` the load runs so long
    before `seconds` begin: from an empty queue, answers of long queues come late, and a batch of 64 in one go.
    Raises ValueError for a load without bounds or a lead with pauses, RuntimeError where the client fails.
    """
    if lead_s and pause_ms:
        raise ValueError(f"got a lead of {lead_s} s and pauses of {pause_ms} ms, at most one of both")
    if not (1 <= connections <= MOST_CONNECTIONS and 0 < seconds <= MOST_SECONDS):
        raise ValueError(f"got {connections} connections for {seconds} s, at most {MOST_CONNECTIONS}, {MOST_SECONDS} s")
    if not is_compiled():
        figures: dict[str, Any] = slow_load.drive(
            requests, port, connections, seconds, pause_ms, waits=waits, lead_s=lead_s
        )
        return Loaded(**figures)
    path = work / f"{name}.requests"
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n" % len(request) + request)
    command = [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds + lead_s))}s",
        "--timeout", f"{ANSWER_S:.0f}s", "--script", str(SCRIPT), f"http://{HOST}:{port}/", "--", str(path),
        f"{pause_ms:.3f}", "waits" if waits else "none", f"{lead_s:.3f}", str(connections),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=lead_s + seconds + 2 * ANSWER_S
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"wrk has not ended after {lead_s + seconds + 2 * ANSWER_S:.0f} s") from None
    said = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not said:
        raise RuntimeError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return Loaded(**json.loads(said[-1]))
