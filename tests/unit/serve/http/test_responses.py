"""Bodies as they come: whole, too large, or never to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message

from serve.http.responses import read_body
from shared.errors import TooLarge, TooSlow


def request_of(chunks: Sequence[bytes], *, ends: bool) -> Request:
    """Return a request whose body comes in chunks, and after them, unless it ends, nothing more."""
    left = list(chunks)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or not ends}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def test_a_body_is_its_chunks() -> None:
    """What comes in pieces is read to its end."""
    assert asyncio.run(read_body(request_of([b"a", b"bc", b""], ends=True), 3)) == b"abc"


def test_a_body_that_does_not_end_is_let_go() -> None:
    """It holds one of the replica's places only so long, and its sender is told what came."""
    with pytest.raises(TooSlow, match=r"got 3 bytes of a body in 0\.01 s, expected all of it") as caught:
        asyncio.run(read_body(request_of([b"a", b"bc"], ends=False), 9, within_s=0.01))
    assert caught.value.status == 408


def test_a_body_is_refused_as_soon_as_it_is_too_large() -> None:
    """No more is read than shows it."""
    with pytest.raises(TooLarge, match="got a body of at least 4 bytes, at most 3"):
        asyncio.run(read_body(request_of([b"ab", b"cd"], ends=False), 3))
