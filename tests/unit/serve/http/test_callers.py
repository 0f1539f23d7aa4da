"""Who may call a model server: unsigned, expired, foreign and changed calls are refused before anything is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from serve.engine.fake import FakeEngine
from serve.http.callers import VERIFIERS, from_key_file, nobody
from serve.http.front_routes import FrontRoutes, ServedModel
from serve.replica import Replica
from shared.call_keys import KeyFile, write_key_file
from shared.call_token import TOKEN_HEADER, CallKeys, sign
from shared.catalog import Model
from shared.protocol import encode_call
from tests.unit.serve.asgi import Reply, call
from tests.unit.serve.replicas import PREFIX, packed

TENANT = "25bf8e1a2393f110"
CALL = encode_call(packed([[0, 5, 2]], tenant_hash="someone-else"))
EMPTY = b""
Sign = Callable[..., str]


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    """Write a key file."""
    write_key_file(tmp_path / "keys.json")
    return KeyFile(tmp_path / "keys.json")


def ask(app: ASGIApp, path: str, token: str | None, *, prefix: str = PREFIX, body: bytes | None = None) -> Reply:
    """Send one request: POST when it has a body."""
    signed: Mapping[str, str] = {} if token is None else {TOKEN_HEADER: token}
    if body is None:
        return asyncio.run(call(app, "GET", path, headers=signed, prefix=prefix))
    return asyncio.run(call(app, "POST", path, headers={**CALL.headers, **signed}, body=body, prefix=prefix))


def with_replica(model: Model, keys: KeyFile, test: Callable[[Replica, ASGIApp], Any]) -> Any:
    """Run a test against a replica that answers callers with `keys`."""
    replica = Replica(model, lambda: FakeEngine(model), verifier=lambda: keys.verify)
    try:
        return test(replica, replica.__serve_build_asgi_app__())
    finally:
        asyncio.run(replica.drain())


INFER = f"{PREFIX}/infer"
WRONG: Mapping[str, tuple[Callable[[CallKeys], str | None], str]] = {
    "unsigned": (lambda _: None, "got no token, expected a signed call"),
    "malformed": (lambda _: "Bearer x", "got a malformed token"),
    "expired": (lambda k: sign(k, "POST", INFER, CALL.data, expires_s=int(time.time()) - 9), "expired"),
    "long": (lambda k: sign(k, "POST", INFER, CALL.data, expires_s=int(time.time()) + 600), "at most 60"),
    "audience": (lambda k: sign(k, "POST", INFER, CALL.data, audience="notify"), "got a token for notify"),
    "method": (lambda k: sign(k, "GET", INFER, CALL.data), "not made for this request"),
    "path": (lambda k: sign(k, "POST", f"{PREFIX}/versions/1/infer", CALL.data), "not made for this request"),
    "query": (lambda k: sign(k, "POST", f"{INFER}?a=1", CALL.data), "not made for this request"),
    "body": (lambda k: sign(k, "POST", INFER, bytes(CALL.data) + b"x"), "another body"),
    "key": (lambda _: sign(CallKeys("k9", {"k9": b"9" * 32}), "POST", INFER, CALL.data), "a token of key k9"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_call_that_is_not_signed_as_it_is_gets_a_401(model: Model, keys: KeyFile, name: str) -> None:
    """The answer is a v2 error that says what is wrong, and the engine does nothing."""
    make, said = WRONG[name]

    def test(replica: Replica, app: ASGIApp) -> None:
        reply = ask(app, "/infer", make(keys.keys()), body=bytes(CALL.data))
        assert reply.status == 401
        assert said in reply.json["error"]
        assert reply.json["code"] == ("unknown-call-key" if name == "key" else "unauthenticated")
        assert replica.runner.counts.n_answered == 0

    with_replica(model, keys, test)


def test_the_tenant_of_the_token_is_the_tenant(model: Model, keys: KeyFile) -> None:
    """A body may name another tenant; the call still belongs to the one of its token."""

    def test(replica: Replica, app: ASGIApp) -> None:
        tenants: list[str] = []
        submit = replica.runner.submit

        def noting(*rows: Any, tenant: str, **named: Any) -> Any:
            tenants.append(tenant)
            return submit(*rows, tenant=tenant, **named)

        replica.runner.submit = noting  # type: ignore[method-assign] # notes the tenant, and does the same
        token = sign(keys.keys(), "POST", INFER, CALL.data, tenant=TENANT)
        assert ask(app, "/infer", token, body=bytes(CALL.data)).status == 200
        assert tenants == [TENANT]

    with_replica(model, keys, test)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/ready", 200), ("/versions/1/ready", 200), ("/", 401), ("/stats", 401), ("/versions/1/stats", 401),
     ("/nothing", 401), ("/versions/1/ready/", 401), ("/infer/ready", 401), ("/versions/1/2/ready", 401)],
)  # fmt: skip
def test_without_a_token_only_readiness_is_answered(model: Model, keys: KeyFile, path: str, status: int) -> None:
    """Metadata, statistics and unknown paths need a token, so a stranger learns nothing."""
    with_replica(model, keys, lambda _, app: _expect(ask(app, path, None), status))


def test_signed_metadata_and_statistics_are_answered(model: Model, keys: KeyFile) -> None:
    """With a token for that path they are, also below a version."""

    def test(_: Replica, app: ASGIApp) -> None:
        for path in ("/", "/stats", "/versions/1/stats"):
            _expect(ask(app, path, sign(keys.keys(), "GET", PREFIX + path, EMPTY)), 200)
        _expect(ask(app, "/ready", None, body=b""), 401)  # a POST is not the question of a load balancer

    with_replica(model, keys, test)


def test_two_tokens_are_refused(model: Model, keys: KeyFile) -> None:
    """A repeated header could be read in two ways."""

    async def twice(app: ASGIApp) -> int:
        token = sign(keys.keys(), "GET", f"{PREFIX}/stats", EMPTY).encode()
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        scope = {
            "type": "http", "method": "GET", "path": f"{PREFIX}/stats", "root_path": PREFIX, "query_string": b"",
            "headers": [(TOKEN_HEADER.encode(), token)] * 2,
        }  # fmt: skip
        await app(scope, _never, send)
        return statuses[0]

    assert with_replica(model, keys, lambda _, app: asyncio.run(twice(app))) == 401


def test_a_server_without_keys_answers_nobody(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denied by default: without a key file even a well-signed call is refused. A missing file stops the start."""
    monkeypatch.delenv("GLOSSA_CALL_KEYS_FILE", raising=False)
    assert from_key_file() is nobody
    monkeypatch.setenv("GLOSSA_CALL_KEYS_FILE", "/nowhere/keys.json")
    with pytest.raises(OSError, match=r"keys\.json"):
        from_key_file()
    replica = Replica(model, lambda: FakeEngine(model))
    reply = ask(replica.__serve_build_asgi_app__(), "/stats", sign(CallKeys("a", {"a": b"1" * 32}), "GET", "/", EMPTY))
    assert (reply.status, reply.json["hint"]) == (401, "set GLOSSA_CALL_KEYS_FILE")
    asyncio.run(replica.drain())


def test_the_key_file_is_that_of_the_settings(keys: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process reads GLOSSA_CALL_KEYS_FILE when it starts."""
    monkeypatch.setenv("GLOSSA_CALL_KEYS_FILE", str(tmp_path / "keys.json"))
    token = sign(keys.keys(), "GET", "/v2", EMPTY, tenant=TENANT)
    caller = VERIFIERS["keys"]()("GET", "/v2", token)
    assert caller is not None
    assert caller.tenant == TENANT


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health/live", 200), ("/health/ready", 200), ("/models/toy/ready", 503), ("/", 401), ("/repository/index", 401),
     ("/models/toy", 401), ("/models/toy/stats", 401), ("/health/live/", 401), ("/health", 401)],
)  # fmt: skip
def test_the_front_tells_a_stranger_its_health_alone(keys: KeyFile, path: str, status: int) -> None:
    """Load balancers and probes have no keys. Names of models are for callers."""
    front = FrontRoutes((ServedModel("toy", "1"),), lambda: {"toy": "RUNNING"}, verifier=lambda: keys.verify)
    _expect(ask(front.__serve_build_asgi_app__(), path, None, prefix="/v2"), status)


def test_the_front_answers_a_signed_call(keys: KeyFile) -> None:
    """The path without a slash at its end is signed as it is sent."""
    front = FrontRoutes((ServedModel("toy", "1"),), lambda: {"toy": "RUNNING"}, verifier=lambda: keys.verify)
    app = front.__serve_build_asgi_app__()
    for path in ("", "/repository/index"):
        _expect(ask(app, path, sign(keys.keys(), "GET", f"/v2{path}", EMPTY), prefix="/v2"), 200)


def _expect(reply: Reply, status: int) -> None:
    assert reply.status == status, reply.body


async def _never() -> Any:
    raise AssertionError("the body is not read")
