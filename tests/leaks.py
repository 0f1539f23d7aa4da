"""Searches for a text that must not get out: in logs, metrics and messages, as it is and in the usual encodings."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping

CANARY = "Kanarienvogel-7f3a 金丝雀"  # letters that JSON, URLs and base64 each write in their own way
MIN_BASE64_CHARS = 12  # of the middle of a text, which are the same wherever it begins


def forms(text: str) -> set[str]:
    """Return the ways in which a text is commonly written."""
    data = text.encode()
    middles = {_base64_middle(data[skipped:]) for skipped in range(3)}  # base64 has three ways to begin
    word = text.split(maxsplit=1)[0]
    return {
        text, word, json.dumps(text)[1:-1], urllib.parse.quote(text), urllib.parse.quote_plus(text), data.hex(),
        repr(text)[1:-1], *middles,
    }  # fmt: skip


def leaks(places: Mapping[str, str], text: str = CANARY) -> list[str]:
    """Return the names of the places where a text is, in any form. Upper and lower case are the same."""
    wanted = {form.lower() for form in forms(text)}
    return [name for name, content in places.items() if any(form in content.lower() for form in wanted)]


def _base64_middle(data: bytes) -> str:
    return base64.b64encode(data[: len(data) // 3 * 3]).decode()[:-4]
