"""Sends load to a server: wrk sends prepared requests over a number of connections.

A connection sends its next request when its last one is answered, at once or after a pause. All load is bounded in
connections and seconds. Must not know what the requests ask.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.wrk import MISSING, find_wrk

SCRIPT = Path(__file__).parent / "wrk.lua"
HOST = "127.0.0.1"
ANSWER_S = 60.0
MOST_CONNECTIONS, MOST_SECONDS = 1024, 300.0


@dataclass(frozen=True, slots=True)
class LoadResult:
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


def http_request(path: str, headers: Mapping[str, str], data: bytes, port: int) -> bytes:
    """Return a whole POST request as it goes over a connection that stays open."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {HOST}:{port}",
        f"content-length: {len(data)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + data


def send_load(
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
) -> LoadResult:
    """Send `requests` in turn, over and over, and return what came back.

    Each of `connections` sends its next request when it has its answer and a pause of `pause_ms` in the mean
    (exponential) is over. `waits` reads the queue time out of our own answers. With `lead_s` the load runs so long
    before `seconds` begin: from an empty queue, answers of long queues come late, and a batch of 64 in one go.
    Raises ValueError for a load without bounds or a lead with pauses, RuntimeError where wrk is missing or fails.
    """
    if lead_s and pause_ms:
        raise ValueError(f"got a lead of {lead_s} s and pauses of {pause_ms} ms, at most one of both")
    if not (1 <= connections <= MOST_CONNECTIONS and 0 < seconds <= MOST_SECONDS):
        raise ValueError(f"got {connections} connections for {seconds} s, at most {MOST_CONNECTIONS}, {MOST_SECONDS} s")
    wrk = find_wrk()
    if wrk is None:
        raise RuntimeError(MISSING)
    path = work / f"{name}.requests"
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n" % len(request) + request)
    lasting_s = max(1, round(seconds + lead_s))
    command = [
        wrk.program, "--threads", "1", "--connections", str(connections), "--duration", f"{lasting_s}s", "--timeout",
        f"{ANSWER_S:.0f}s", "--script", str(SCRIPT), f"http://{HOST}:{port}/", "--", str(path),
        f"{pause_ms:.3f}", "waits" if waits else "none", f"{lead_s:.3f}", str(connections),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, env={**os.environ, **wrk.environment}, capture_output=True, text=True, check=False,
            timeout=lead_s + seconds + 2 * ANSWER_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"wrk has not ended after {lead_s + seconds + 2 * ANSWER_S:.0f} s") from None
    said = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not said:
        raise RuntimeError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return LoadResult(**json.loads(said[-1]))
