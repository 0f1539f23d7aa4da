"""Writes one JSON line for each event on standard output, with allowed fields only.

Text, tokens and presigned URLs never reach a log. A field that is not on the list is dropped, and its name is written
in `dropped`. Some events carry metrics, as shared.metrics says. Must not know who logs.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TextIO

from shared.metrics import metrics_of

MAX_CHARS = 300  # of one value

ALLOWED = frozenset({
    "backlog_tokens", "batch_tokens", "code", "count", "deadline_ms", "error_type", "failed", "fence",
    "fingerprint", "function", "generation", "head", "job_id", "kernels", "model", "n_rows", "n_tokens", "n_windows",
    "numa_cores", "operation", "reason", "receives", "records", "request_id", "retryable", "revision", "route",
    "seconds", "shard", "size_class", "state", "status", "task", "tenant_hash", "timings_ms", "trace_id", "url_host",
    "version",
})  # fmt: skip


def log_event(event: str, *, level: str = "info", stream: TextIO | None = None, **fields: object) -> None:
    """Write one JSON line: time, level, event and the allowed fields. Each value is cut at 300 characters."""
    now_s = time.time()
    line: dict[str, object] = {"time": round(now_s, 3), "level": level, "event": event}
    line |= {name: _short(value) for name, value in fields.items() if name in ALLOWED}
    line |= metrics_of(event, line, int(now_s * 1000))
    if dropped := sorted(name for name in fields if name not in ALLOWED):
        line["dropped"] = dropped
    print(json.dumps(line, default=str), file=stream or sys.stdout, flush=True)


def _short(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return value if len(text) <= MAX_CHARS and isinstance(value, dict | list | tuple | str) else text[:MAX_CHARS]
