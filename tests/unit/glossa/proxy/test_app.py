"""The proxy lets in programs with the token alone, signs what it passes on, and keeps to its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from glossa.proxy.guard import Guard
from glossa.proxy.upstream import Upstream
from tests.unit.glossa.proxy.gateway import (
    API,
    CREDENTIALS,
    PORT,
    TOKEN,
    FakeGateway,
    ask,
    messages,
    recomputed,
    scope_of,
    statuses,
)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/embeddings"), ("POST", "/hf/mini:topic"), ("GET", "/v1/jobs?page_size=20&cursor=abc%3D"),
     ("GET", "/v1/models/caf%C3%A9%20x"), ("DELETE", "/v1/recipes/news"), ("GET", "/")],
)  # fmt: skip
def test_requests_are_signed_as_aws_checks_them(method: str, path: str) -> None:
    """The API gets method, path, query and body as they came, with a signature that botocore computes too."""
    gateway = FakeGateway()
    asked = ask(gateway, method, path, content=b"" if method == "GET" else b'{"inputs": "\xc3\xbc"}')
    assert (asked.status, asked.json) == (200, {"ok": True})
    [sent] = gateway.seen
    assert str(sent.url) == API + path
    assert sent.headers["x-amz-security-token"] == "a-session-token"
    assert TOKEN not in str(sent.headers)


@pytest.mark.parametrize(
    ("query", "written"),
    [("cursor=a/b:c", "cursor=a%2Fb%3Ac"), ("b=2&a=1&a", "b=2&a=1&a="), ("a=x+y", "a=x%20y")],
)
def test_a_query_is_sent_as_it_is_signed(query: str, written: str) -> None:
    """Where AWS would write a query in another way than it came, it is sent in the way of AWS."""
    gateway = FakeGateway()
    assert ask(gateway, "GET", f"/v1/jobs?{query}", content=b"").status == 200
    assert str(gateway.seen[0].url) == f"{API}/v1/jobs?{written}"


@pytest.mark.parametrize("part", ["raw_path", "query_string"])
@pytest.mark.parametrize("target", [b"/v1/x#y", b"/v1/x y", b"/v1/\xff", b"/\x7f"])
def test_a_target_that_is_none_is_refused(part: str, target: bytes) -> None:
    """A fragment, a space or a byte that is no visible ASCII is a 400, in the path and in the query."""
    gateway = FakeGateway()
    assert statuses(gateway, scope_of("GET", b"/v1/models") | {part: target}) == [400]
    assert gateway.seen == []


@pytest.mark.parametrize(
    ("guard", "host", "status"),
    [(Guard(TOKEN, PORT, "127.0.0.2"), f"127.0.0.2:{PORT}", 200), (Guard(TOKEN, PORT), f"127.0.0.2:{PORT}", 421),
     (Guard(TOKEN, 80), "127.0.0.1", 200), (Guard(TOKEN, 80), "localhost:80", 200), (Guard(TOKEN, 80), "evil", 421),
     (Guard(TOKEN, PORT, "::1"), f"[::1]:{PORT}", 200)],
    ids=lambda value: f"{value.host}-{value.port}" if isinstance(value, Guard) else None,
)  # fmt: skip
def test_the_address_that_was_bound_is_taken(guard: Guard, host: str, status: int) -> None:
    """Another address of this machine works, and so does port 80, which clients leave out."""
    assert ask(FakeGateway(), headers={"host": host, "origin": f"http://{host}"}, guard=guard).status == status


def test_a_request_that_was_changed_has_another_signature() -> None:
    """The check of these tests can fail: another body, path or host does not fit."""
    gateway = FakeGateway()
    ask(gateway)
    [sent] = gateway.seen
    signed = recomputed(sent)
    for other in (
        httpx2.Request("POST", sent.url, headers=sent.headers, content=b"{}"),
        httpx2.Request("POST", f"{API}/v1/rerank", headers=sent.headers, content=sent.content),
        httpx2.Request("GET", sent.url, headers=sent.headers, content=sent.content),
    ):
        assert recomputed(other) != signed


@pytest.mark.parametrize("token", [None, "", "t" * 31, "t" * 33, "T" * 32, f"{TOKEN}, Bearer x"])
def test_without_the_token_nobody_is_let_in(token: str | None) -> None:
    """A missing or wrong token is a 401, and nothing is sent on."""
    gateway = FakeGateway()
    asked = ask(gateway, token=token)
    assert (asked.status, asked.headers["www-authenticate"]) == (401, "Bearer")
    assert gateway.seen == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 421), ({"host": f"evil.example:{PORT}"}, 421), ({"host": "127.0.0.1"}, 421),
     ({"host": f"127.0.0.1:{PORT + 1}"}, 421), ({"origin": "https://evil.example"}, 403), ({"origin": "null"}, 403),
     ({"origin": f"http://localhost:{PORT + 1}"}, 403), ({"sec-fetch-site": "cross-site"}, 403),
     ({"sec-fetch-site": "same-site"}, 403), ({"host": f"localhost:{PORT}"}, 200), ({"host": f"[::1]:{PORT}"}, 200),
     ({"origin": f"http://127.0.0.1:{PORT}", "sec-fetch-site": "same-origin"}, 200)],
)  # fmt: skip
def test_pages_of_browsers_are_kept_out(headers: dict[str, str], status: int) -> None:
    """A name that resolves to this machine is a 421, and a page of another origin a 403, even with the token."""
    gateway = FakeGateway()
    assert ask(gateway, headers=headers).status == status
    assert len(gateway.seen) == (status == 200)


@pytest.mark.parametrize(
    "path", ["/../prod/v1/models", "/v1/%2e%2e/%2e%2e/prod", "/./x", "/v1/..%5cx", "/v1/a%0d%0ax", "/v1/.%2e"]
)
def test_no_path_leaves_the_stage(path: str) -> None:
    """Paths that climb, in any writing, are refused. A server that does not tidy paths gets them as they are."""
    gateway = FakeGateway()
    scope = scope_of("GET", path.encode())
    assert statuses(gateway, scope) == [400]
    assert statuses(gateway, scope | {"raw_path": b"http://evil.example/x"}) == [400]
    assert gateway.seen == []


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT"])
def test_other_methods_are_refused(method: str) -> None:
    """No preflight is answered, so no page of another origin may call."""
    assert ask(FakeGateway(), method).status == 405


async def in_chunks(n_bytes: int) -> AsyncIterator[bytes]:
    """Yield bytes whose number nobody knows before."""
    for _ in range(n_bytes):
        yield b"x"


@pytest.mark.parametrize("content", [b"x" * 11, in_chunks(11)], ids=["announced", "streamed"])
def test_a_large_body_is_refused(content: Any) -> None:
    """Announced or streamed, a body over the limit is a 413, and nothing is sent on."""
    gateway = FakeGateway()
    asked = ask(gateway, content=content, max_body_bytes=10)
    assert asked.status == 413
    assert "at most" in asked.json["detail"]
    assert gateway.seen == []


def test_a_slow_body_is_refused() -> None:
    """A body that does not come to its end is a 408."""

    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    assert ask(FakeGateway(), content=never(), body_s=0.01).status == 408


def test_a_large_answer_is_ended() -> None:
    """An answer that is announced too large is a 502; one that grows too large never comes to its end."""
    assert ask(FakeGateway(lambda _: httpx2.Response(200, content=b"x" * 11)), max_answer_bytes=10).status == 502

    def grows(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=in_chunks(11))

    for most, ends in (10, False), (11, True):
        last = messages(FakeGateway(grows), scope_of("GET", b"/v1/models"), max_answer_bytes=most)[-1]
        assert (last == {"type": "http.response.body", "body": b""}) == ends


def test_an_answer_that_breaks_off_never_ends() -> None:
    """A caller can tell half of an answer from a whole one."""

    async def breaks() -> AsyncIterator[bytes]:
        yield b"x"
        raise httpx2.ReadError("lost")

    last = messages(FakeGateway(lambda _: httpx2.Response(200, content=breaks())), scope_of("GET", b"/v1/models"))[-1]
    assert last == {"type": "http.response.body", "body": b"x", "more_body": True}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """Neither the proxy nor its caller goes where an answer points."""
    moved = httpx2.Response(status, headers={"location": "https://evil.example/"})
    gateway = FakeGateway(lambda _: moved)
    asked = ask(gateway)
    assert (asked.status, asked.json["code"]) == (502, "redirect")
    assert "location" not in asked.headers
    assert len(gateway.seen) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(httpx2.ConnectError("x"), 502), (httpx2.ReadTimeout("x"), 504), (httpx2.ReadError("x"), 502)]
)
def test_an_api_that_is_down_is_said_plainly(error: Exception, status: int) -> None:
    """The answer names the host and what to look at."""

    def down(_: httpx2.Request) -> httpx2.Response:
        raise error

    asked = ask(down)
    assert asked.status == status
    assert "no answer from abc1.execute-api" in asked.json["detail"]


def test_credentials_that_cannot_be_had_are_said_plainly() -> None:
    """The answer has the kind of the error, and none of its words."""

    def expired() -> Any:
        raise RuntimeError("secret words")

    asked = ask(FakeGateway(), credentials=expired)
    assert (asked.status, asked.json["code"]) == (502, "no-credentials")
    assert "secret words" not in str(asked.json) + str(asked.said)


def test_the_log_has_no_secret() -> None:
    """A line has method, path, status and time, and neither query, body nor token."""
    asked = ask(FakeGateway(), path="/v1/jobs?cursor=private", content=b"a private text")
    refused = ask(FakeGateway(), token="w" * 32)
    [line], [other] = asked.said, refused.said
    assert line.startswith("POST /v1/jobs 200 ")
    assert other.startswith("POST /v1/fill-mask 401 ")
    for secret in (TOKEN, "w" * 32, "private", "a-secret-key"):
        assert secret not in line + other


@pytest.mark.parametrize("token", ["", "short", "x" * 31, "x" * 31 + "\n", "é" * 32, " " * 40, "x" * 32 + " y"])
def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    """The proxy does not start with a short token; it is never shown."""
    with pytest.raises(ValueError, match="expected 32 or more"):
        Guard(token, PORT)
    assert TOKEN not in repr(Guard(TOKEN, PORT))


@pytest.mark.parametrize(
    ("url", "region", "message"),
    [("http://api.example/live", None, "https://HOST"), ("https://u:p@api.example", "r", "without user, query"),
     ("https://api.example/live?a=b", "r", "without user, query"), ("nonsense", None, "https://HOST"),
     ("https://nlp.example.com", None, "expected --region"), ("https://[::1", None, "https://HOST")],
)  # fmt: skip
def test_the_api_must_be_one(url: str, region: str | None, message: str) -> None:
    """An address in the clear, with a user, a query or without a region is refused before anything is served."""
    with pytest.raises(ValueError, match=message):
        Upstream.at(url, region, lambda: CREDENTIALS)
