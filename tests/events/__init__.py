"""Recorded API Gateway REST proxy events, and functions that read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class FakeContext:
    """A Lambda context with a fixed time left."""

    aws_request_id: str = "00000000-0000-4000-8000-000000000001"
    remaining_ms: int = 25_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def event(name: str) -> dict[str, Any]:
    """Read the recorded event tests/events/{name}.json."""
    read: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return read


def request(method: str, path: str, body: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return the recorded rest_post event with another method, path and body."""
    made = event("rest_post")
    made |= {"httpMethod": method, "path": path, "body": body} | changes
    made["requestContext"] |= {"httpMethod": method, "path": f"/live{path}"}
    return made
