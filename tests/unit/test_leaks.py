"""The search for texts that got out finds what was planted, in every encoding."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from tests.leaks import CANARY, leaks


@pytest.mark.parametrize(
    "planted",
    [
        f"said: {CANARY}",
        json.dumps({"text": f"a {CANARY} b"}),
        json.dumps({"text": CANARY}, ensure_ascii=False),
        f"GET /?q={urllib.parse.quote(CANARY)}",
        f"q={urllib.parse.quote_plus(CANARY)}",
        base64.b64encode(f"x{CANARY}y".encode()).decode(),
        base64.b64encode(f"xy{CANARY}".encode()).decode(),
        base64.b64encode(CANARY.encode()).decode(),
        CANARY.encode().hex(),
        repr({"text": CANARY}),
        CANARY.upper(),
        CANARY.split()[0],
    ],
)
def test_a_planted_text_is_found(planted: str) -> None:
    """A text is found plain, escaped, quoted, in base64 at any offset, in hex, in capitals, and by its first word."""
    assert leaks({"log": f"before {planted} after", "clean": "nothing here"}) == ["log"]


def test_other_texts_are_not_found() -> None:
    """A log without the text has no leak."""
    assert leaks({"log": json.dumps({"event": "request", "status": 200, "tenant_hash": "3f9a" * 8})}) == []
