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
MAX_CONNECTIONS, MAX_SECONDS = 1024, 300.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of one load.

    `n_answered` counts all answers, `n_refused` those with a status other than 200. `n_broken` counts failed
    connections and answers that took over a minute. `longest_wait_s` is the longest queue time in our own answers; it
    is -1 when `waits` was not set. After a lead, `seconds` and `n_answered` count only the time after it.
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
        """The number of answers with status 200."""
        return self.n_answered - self.n_refused


def http_request(path: str, headers: Mapping[str, str], data: bytes, port: int) -> bytes:
    """Return the bytes of a POST request on a connection that stays open."""
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
    """Send `requests` one after the other, again and again, and return what came back.

    Each of `connections` sends a request, waits for its answer, and pauses. Pauses are exponential with a mean of
    `pause_ms`. `waits` reads the queue time from our own answers. With `lead_s` the load runs that long before
    `seconds` begin. Without it the queue is empty at first, and the first answers come late and in bursts.
    Raises ValueError for a load without bounds, or with both a lead and pauses. Raises RuntimeError when wrk is
    missing or fails.
    """
    if lead_s and pause_ms:
        raise ValueError(f"got a lead of {lead_s} s and pauses of {pause_ms} ms, at most one of both")
    if not (1 <= connections <= MAX_CONNECTIONS and 0 < seconds <= MAX_SECONDS):
        raise ValueError(f"got {connections} connections for {seconds} s, at most {MAX_CONNECTIONS}, {MAX_SECONDS} s")
    path = work / f"{name}.requests"
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n" % len(request) + request)
    script_arguments = [str(path), f"{pause_ms:.3f}", "waits" if waits else "none", f"{lead_s:.3f}", str(connections)]
    return _run_wrk(port, connections, max(1, round(seconds + lead_s)), script_arguments)


def _run_wrk(port: int, connections: int, lasting_s: int, script_arguments: Sequence[str]) -> LoadResult:
    """Run wrk with the script, and return what the script prints."""
    wrk = find_wrk()
    if wrk is None:
        raise RuntimeError(MISSING)
    command = [
        wrk.program, "--threads", "1", "--connections", str(connections), "--duration", f"{lasting_s}s",
        "--timeout", f"{ANSWER_S:.0f}s", "--script", str(SCRIPT), f"http://{HOST}:{port}/", "--", *script_arguments,
    ]  # fmt: skip
    limit_s = lasting_s + 2 * ANSWER_S
    environment = {**os.environ, **wrk.environment}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"wrk has not ended after {limit_s:.0f} s") from None
    printed = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not printed:
        raise RuntimeError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return LoadResult(**json.loads(printed[-1]))
