"""A small HTTP client for the API, such as a product would write for itself.

It knows addresses and JSON. Must not know how the stack runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3

TIMEOUT_S = 35.0


class LocalApiError(Exception):
    """The API answered with an error. Holds the HTTP status and the problem details."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        """Keep status and problem; the message is the problem's detail."""
        super().__init__(f"{status} {problem.get('detail', problem)}")
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class JsonAnswer:
    """A JSON answer and its headers, whose names are in lower case."""

    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def timings_ms(self) -> dict[str, float]:
        """The milliseconds that each stage took, from the Server-Timing header."""
        entries = [entry.strip().split(";dur=") for entry in self.headers.get("server-timing", "").split(",")]
        return {entry[0]: float(entry[1]) for entry in entries if len(entry) == 2}  # noqa: PLR2004 - a name and a value


@dataclass(frozen=True)
class ApiClient:
    """Calls one API at its base URL, which includes the stage. Raises LocalApiError for each status from 400 on."""

    base_url: str
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def get(self, path: str) -> JsonAnswer:
        """Send GET to a path below the base URL."""
        return self._call("GET", path, None, {})

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> JsonAnswer:
        """Send POST with JSON to a path below the base URL."""
        return self._call("POST", path, body, headers or {})

    def upload(self, target: Mapping[str, Any], name: str, data: bytes) -> None:
        """Upload one object by a presigned POST, which has a `url` and `fields`.

        A `${filename}` in its key becomes `name`.
        """
        fields: dict[str, Any] = dict(target["fields"])
        fields["file"] = (name, data, fields.get("Content-Type", "application/octet-stream"))
        reply = self.pool.request("POST", target["url"], fields=fields, timeout=TIMEOUT_S)
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's errors start at 400
            raise LocalApiError(reply.status, {"detail": f"upload of {name} refused: {reply.data[:300]!r}"})

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind a presigned URL."""
        reply = self.pool.request("GET", url, timeout=TIMEOUT_S)
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's errors start at 400
            raise LocalApiError(reply.status, {"detail": f"download refused: {reply.data[:300]!r}"})
        return bytes(reply.data)

    def _call(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> JsonAnswer:
        data = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **headers}
        reply = self.pool.request(method, self.base_url.rstrip("/") + path, body=data, headers=sent, timeout=TIMEOUT_S)
        try:
            parsed = json.loads(reply.data or b"{}")
        except ValueError:
            parsed = {"detail": f"not JSON: {reply.data[:200]!r}"}
        if reply.status >= 400:  # noqa: PLR2004 - HTTP's errors start at 400
            raise LocalApiError(reply.status, parsed)
        return JsonAnswer(parsed, {name.lower(): value for name, value in reply.headers.items()})
