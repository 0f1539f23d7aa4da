"""The load client where wrk is missing: asyncio over bare connections. It takes cores that the server lacks.

Speaks only as much HTTP/1.1 as answers with a content-length or in chunks need. Must not know what is asked.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

HOST = "127.0.0.1"
OK = 200
ANSWER_S = 60.0


@dataclass(slots=True)
class _Seen:
    """What the connections saw together."""

    n_sent: int = 0
    n_refused: int = 0
    n_broken: int = 0
    n_counted: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    longest_wait_s: float = -1.0


def drive(
    requests: Sequence[bytes],
    port: int,
    connections: int,
    seconds: float,
    pause_ms: float,
    *,
    waits: bool,
    lead_s: float = 0.0,
) -> dict[str, float]:
    """Send requests as `benchmarks.load.drive` does; return the fields of its Loaded."""
    seen = _Seen()
    counts_from_s = time.perf_counter() + lead_s
    ends_s = counts_from_s + seconds

    async def all_connections() -> None:
        one = partial(_connection, requests, port, counts_from_s, ends_s, pause_ms, seen, waits=waits)
        await asyncio.gather(*(one() for _ in range(connections)))

    asyncio.run(all_connections())
    latencies = sorted(seen.latencies_ms) or [0.0]
    return {
        "seconds": time.perf_counter() - counts_from_s,
        "n_answered": seen.n_counted,
        "n_refused": seen.n_refused,
        "n_broken": seen.n_broken,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
        "max_ms": latencies[-1],
        "longest_wait_s": seen.longest_wait_s,
    }


async def _connection(
    requests: Sequence[bytes],
    port: int,
    counts_from_s: float,
    ends_s: float,
    pause_ms: float,
    seen: _Seen,
    *,
    waits: bool,
) -> None:
    """Ask one after the other until the time is over."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        seen.n_broken += 1
        return
    try:
        while time.perf_counter() < ends_s:
            if pause_ms:
                await asyncio.sleep(random.expovariate(1 / pause_ms) / 1e3)
            began_s = time.perf_counter()
            writer.write(requests[seen.n_sent % len(requests)])
            seen.n_sent += 1
            status, body = await asyncio.wait_for(_answer(reader), min(ANSWER_S, max(0.01, ends_s - began_s)))
            seen.n_counted += time.perf_counter() >= counts_from_s
            seen.latencies_ms.append((time.perf_counter() - began_s) * 1e3)
            seen.n_refused += status != OK
            if waits and (found := re.search(rb'"queue_s":([\d.e-]+)', body)):
                seen.longest_wait_s = max(seen.longest_wait_s, float(found[1]))
    except TimeoutError:
        seen.n_broken += time.perf_counter() < ends_s
    except (OSError, EOFError, ValueError):
        seen.n_broken += 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer: status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if found := re.search(rb"content-length:\s*(\d+)", head, re.IGNORECASE):
        return status, await reader.readexactly(int(found[1]))
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return status, b"".join(chunks)
