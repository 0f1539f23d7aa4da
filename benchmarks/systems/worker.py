"""Runs one system in a process of its own: loads it, then makes one pass over the rows for each line of standard input.

Runs in any environment that has the system. Uses only the standard library and imports nothing of this repository. Each
answer is one JSON line: {"seconds": ...} and the peak memory so far. The parent process decides when a pass starts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

Rows = Sequence[Sequence[int]]
Pass = Callable[[], object]


def arguments() -> argparse.Namespace:
    """Read the command line that every system takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True, help="JSON: a list of lists of token ids")
    parser.add_argument("--task", default="classification")
    parser.add_argument("--variant", required=True)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def serve(load: Callable[[argparse.Namespace, Rows], Pass]) -> None:
    """Load with `load(options, rows)`, which returns a pass over all rows. Then run passes until the input ends."""
    options = arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    rows = json.loads(options.rows.read_text())
    weights_bytes = sum(path.stat().st_size for path in options.checkpoint.glob("*.safetensors"))
    loaded_bytes = weights_bytes + forget_peak()
    began = time.perf_counter()
    one_pass = load(options, rows)
    forget_peak()
    one_pass()  # warm-up
    load_s = time.perf_counter() - began
    say({"ready": True, "load_s": load_s, "loaded_bytes": loaded_bytes, "peak_bytes": peak_bytes()})
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        began = time.perf_counter()
        one_pass()
        say({"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes()})


def say(answer: Mapping[str, object]) -> None:
    """Write one JSON line."""
    print(json.dumps(answer), flush=True)


def batches(rows: Rows, size: int, *, ordered: bool) -> Iterator[list[int]]:
    """Yield lists of `size` row indices, sorted by length when `ordered`."""
    order = list(range(len(rows)))
    if ordered:
        order.sort(key=lambda i: len(rows[i]))
    for first in range(0, len(order), size):
        yield order[first : first + size]


def padded(rows: Rows, pad_id: int = 1) -> tuple[list[list[int]], list[list[int]]]:
    """Return ids and attention mask as nested lists, padded to the longest row."""
    width = max(map(len, rows))
    ids = [[*row] + [pad_id] * (width - len(row)) for row in rows]
    return ids, [[1] * len(row) + [0] * (width - len(row)) for row in rows]


def forget_peak() -> int:
    """Reset the peak memory of this process (proc(5), clear_refs: 5). Return the bytes in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def peak_bytes() -> int:
    """Return the peak bytes since `forget_peak`."""
    return _status_bytes("VmHWM")


def _status_bytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
