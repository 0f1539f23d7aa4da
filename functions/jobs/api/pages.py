"""Reads the query parameters of routes that answer in pages: the size of a page, and the cursor where it begins.

A cursor is the sort key after which the page begins, in URL-safe base64. Must not know what a page holds.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from shared.errors import Unprocessable

MAX_PAGE = 100
DEFAULT_PAGE = 20
PAGED = ("page_size", "cursor")  # the query parameters of every route that answers in pages


def page_size(query: Mapping[str, str]) -> int:
    """Return how many entries a page holds. Raises Unprocessable."""
    raw = query.get("page_size", str(DEFAULT_PAGE))
    if not re.fullmatch(r"[0-9]{1,4}", raw) or not 1 <= int(raw) <= MAX_PAGE:
        raise Unprocessable(f"got page_size {raw[:20]!r}, expected 1 to {MAX_PAGE}")
    return int(raw)


def encode_cursor(sort_key: str | None) -> str | None:
    """Return the cursor with which a caller asks for the next page; None when there is none."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=") if sort_key is not None else None


def decode_cursor(query: Mapping[str, str], pattern: str) -> str | None:
    """Return the sort key after which a page begins; None for the first page.

    Raises Unprocessable for a cursor that is empty, or whose sort key does not match `pattern`.
    """
    raw = query.get("cursor")
    if raw is None:
        return None
    try:
        sort_key = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        sort_key = ""
    if not re.fullmatch(pattern, sort_key):
        raise Unprocessable(f"got cursor {raw[:40]!r}, expected the `next` of an earlier page, or none for the first")
    return sort_key
