"""Keeps what clients sent to the routes that are made for them, so that unit tests can send it again.

Must not know any client.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.conformance.http_server import Exchange

KEY = "KEY"  # what stands in a recording in place of the key
KEPT = (
    "accept", "accept-encoding", "authorization", "content-encoding", "content-type", "inference-header-content-length",
)  # fmt: skip
OURS = ("Python-urllib", "node")  # how the scripts ask our own routes, to compare
NODE_AGENT = re.compile(r"^\S+(?: [0-9.]+)?")  # name and version of a client
TEI = "TEI"  # its script sends plain requests itself


def recorded(exchanges: Sequence[Exchange], lines: Sequence[Mapping[str, Any]], key: str) -> Iterator[dict[str, Any]]:
    """Yield what the client of these lines sent, each request once, with the answers."""
    seen = set()
    for each in exchanges:
        agent = each.headers.get("user-agent", "")
        named = f"{lines[-1]['client']} {lines[-1]['version']}"
        found = (each.method, each.path, each.body)
        own = each.path.startswith("/v1/") if named.startswith(TEI) else agent.startswith(OURS)
        if found not in seen and not own:
            seen.add(found)
            client = f"{NODE_AGENT.findall(agent)[0]} (Node)" if "(Node)" in named else named
            headers = {name: each.headers[name] for name in KEPT if name in each.headers}
            yield {
                "client": client, "method": each.method, "path": each.path,
                "headers": {name: value.replace(key, KEY) for name, value in headers.items()},
                **_body("body", each.body), "status": each.status, **_body("answer", each.answer),
            }  # fmt: skip


def body_of(kept: Mapping[str, Any], name: str) -> bytes:
    """Return the bytes of a recorded body."""
    packed = kept.get(f"{name}_base64")
    return base64.b64decode(packed) if packed is not None else (kept[name] or "").encode()


def _body(name: str, data: bytes) -> dict[str, Any]:
    """Return bytes as text where they are JSON, else in base64."""
    try:
        json.loads(data or b"null")
    except ValueError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
    return {name: data.decode() or None}
