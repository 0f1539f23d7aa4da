"""A small HTTP client for the local stack's API, as a product's own code would hold one.

Knows URLs and JSON only, nothing of how the stack runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3

TIMEOUT_S = 35.0


class ApiError(Exception):
    """The API answered with an error; holds its status and problem details."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        """Keep status and problem; the message is the problem's detail."""
        super().__init__(f"{status} {problem.get('detail', problem)}")
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class Answer:
    """A JSON answer with the headers it came with (lower-case names)."""

    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def timings_ms(self) -> dict[str, float]:
        """Milliseconds of each stage, from Server-Timing."""
        entries = [entry.strip().split(";dur=") for entry in self.headers.get("server-timing", "").split(",")]
        return {entry[0]: float(entry[1]) for entry in entries if len(entry) == 2}  # noqa: PLR2004 - name and value


@dataclass(frozen=True)
class ApiClient:
    """Calls one API by its base URL (stage included). Raises ApiError on any status from 400 on."""

    base_url: str
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def get(self, path: str) -> Answer:
        """GET a path below the base URL."""
        return self._call("GET", path, None, {})

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST JSON to a path below the base URL."""
        return self._call("POST", path, body, headers or {})

    def upload(self, target: Mapping[str, Any], name: str, data: bytes) -> None:
        """Send one object through a presigned POST (`url`, `fields`); `${filename}` in its key becomes `name`."""
        fields: dict[str, Any] = dict(target["fields"])
        fields["file"] = (name, data, fields.get("Content-Type", "application/octet-stream"))
        reply = self.pool.request("POST", target["url"], fields=fields, timeout=TIMEOUT_S)
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's own line
            raise ApiError(reply.status, {"detail": f"upload of {name} refused: {reply.data[:300]!r}"})

    def fetch(self, url: str) -> bytes:
        """GET a presigned URL."""
        reply = self.pool.request("GET", url, timeout=TIMEOUT_S)
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's own line
            raise ApiError(reply.status, {"detail": f"download refused: {reply.data[:300]!r}"})
        return bytes(reply.data)

    def _call(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **headers}
        reply = self.pool.request(method, self.base_url.rstrip("/") + path, body=data, headers=sent, timeout=TIMEOUT_S)
        try:
            parsed = json.loads(reply.data or b"{}")
        except ValueError:
            parsed = {"detail": f"not JSON: {reply.data[:200]!r}"}
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's own line
            raise ApiError(reply.status, parsed)
        return Answer(parsed, {name.lower(): value for name, value in reply.headers.items()})
