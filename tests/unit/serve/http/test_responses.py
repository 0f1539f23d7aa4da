"""Request bodies: complete, too large, or never ending."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from serve.http.callers import no_check
from serve.http.routes import CALLER, READY, make_app, read_body
from shared.errors import TooLarge, TooSlow
from tests.unit.serve.asgi import call


def request_of(chunks: Sequence[bytes], *, ends: bool) -> Request:
    """Return a request whose body comes in chunks. Unless it `ends`, its sender then sends nothing more."""
    left = list(chunks)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or not ends}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": [], CALLER: None}, receive)


@pytest.mark.parametrize("limit", [4, 3])
def test_a_body_is_its_chunks(limit: int) -> None:
    """A body that comes in pieces is read to its end, up to the last byte that the limit allows."""
    assert asyncio.run(read_body(request_of([b"a", b"bc", b""], ends=True), limit)) == b"abc"


def test_a_body_that_does_not_end_is_let_go() -> None:
    """It holds a request slot of the replica only for so long, and its sender learns what came."""
    with pytest.raises(TooSlow, match=r"got 3 bytes of a body in 0\.01 s, expected all of it") as caught:
        asyncio.run(read_body(request_of([b"a", b"bc"], ends=False), 9, within_s=0.01))
    assert caught.value.status == 408


def test_a_body_is_refused_as_soon_as_it_is_too_large() -> None:
    """No more is read than is needed to see that."""
    with pytest.raises(TooLarge, match="got a body of at least 4 bytes, at most 3"):
        asyncio.run(read_body(request_of([b"ab", b"cd"], ends=False), 3))


def test_an_unhandled_error_is_logged_where_it_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the 500 nor the event unhandled-error has the message of the error: it may hold data of a caller."""

    async def fail(_: Request) -> Response:
        raise RuntimeError("planted")

    reply = asyncio.run(call(make_app([Route("/", fail)], no_check(), READY), "GET", "/"))
    line = capsys.readouterr().out.strip()
    event = json.loads(line)
    assert (reply.status, event["event"], event["error_type"]) == (500, "unhandled-error", "RuntimeError")
    assert event["reason"].endswith(" fail")
    assert "planted" not in line + reply.body.decode()
