"""What a replica refuses, with which status, and that it answers the next call."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from starlette.types import ASGIApp

from serve.replica import Replica
from shared.catalog import Model
from shared.errors import ReplicaError
from shared.limits import MAX_BODY_BYTES, MAX_CALL_ROWS
from shared.protocol import decode_error
from tests.unit.serve.asgi import call
from tests.unit.serve.engine.engines import LIMIT_S, GatedEngine
from tests.unit.serve.replicas import PREFIX, packed, padded, post, run_with_replica, send_call

BAD_BODIES: dict[str, tuple[int, object, dict[str, str]]] = {
    "empty": (400, b"", {}),
    "not JSON": (400, b"{", {}),
    "not UTF-8": (400, b'{"id": "\xff"}', {}),
    "a list": (400, [], {}),
    "deep": (413, b"[" * 100_000, {}),
    "no inputs": (400, {}, {}),
    "no rows": (422, padded([[]]), {}),
    "a string for a number": (400, padded([["5"]]), {}),  # type: ignore[list-item] # wrong on purpose
    "id out of vocabulary": (422, padded([[100]]), {}),
    "negative id": (422, padded([[-1]]), {}),
    "row too long": (413, padded([[1] * 33]), {}),
    "too many rows": (413, padded([[1]] * (MAX_CALL_ROWS + 1)), {}),
    "unknown head": (404, padded([[1]], head="no-such"), {}),
    "unknown parameter": (422, padded([[1]], warmth=1), {}),
    "other tokenizer": (409, padded([[1]], tokenizer="f" * 64), {}),
    "mask head without positions": (422, padded([[1]], head="mlm"), {}),
    "wrong model name": (422, {**padded([[1]]), "model_name": "other"}, {}),
    "timeout that is no number": (400, padded([[1]]), {"x-request-timeout-seconds": "soon"}),
    "timeout below zero": (400, padded([[1]]), {"x-request-timeout-seconds": "-1"}),
    "binary header length beyond the body": (400, b"{}", {"inference-header-content-length": "9999"}),
    "compressed": (422, gzip.compress(b"{}"), {"content-encoding": "gzip"}),
    "declared too large": (413, b"{}", {"content-length": str(MAX_BODY_BYTES + 1)}),
    "declared absurdly large": (413, b"{}", {"content-length": "9" * 5000}),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_input_is_a_clear_refusal(model: Model, case: str) -> None:
    """Each bad body gets a 4xx whose JSON says why and names the error's class. The next call is answered."""
    status, body, headers = BAD_BODIES[case]

    async def test(replica: Replica, app: ASGIApp) -> None:
        reply = await post(app, body, headers)
        assert reply.status == status, reply.body
        assert reply.json["error"] == reply.json["detail"]
        error = decode_error(reply.status, reply.body)
        assert type(error) is not ReplicaError
        assert error.status == status
        assert (await send_call(app, packed([[1]]))).status == 200

    run_with_replica(model, test)


def test_body_without_a_length_is_cut_off_at_the_limit(model: Model) -> None:
    """A body in chunks is refused as soon as it exceeds the limit."""

    async def test(_: Replica, app: ASGIApp) -> None:
        reply = await call(app, "POST", "/infer", body=[b" " * 2**20] * 9, prefix=PREFIX)
        assert (reply.status, reply.json["code"]) == (413, "too-large")

    run_with_replica(model, test)


def test_refusals_are_counted_by_code(model: Model) -> None:
    """Statistics count answered rows and refusals apart."""

    async def test(_: Replica, app: ASGIApp) -> None:
        await send_call(app, packed([[1], [2, 3]]))
        await post(app, padded([[1]], head="no-such"))
        stats = (await call(app, "GET", "/stats", prefix=PREFIX)).json["model_stats"][0]
        assert (stats["inference_count"], stats["execution_count"]) == (2, 1)
        assert stats["inference_stats"]["success"]["count"] == 1
        assert stats["glossa"]["refused"] == {"not-found": 1}
        assert stats["glossa"]["n_tokens"] == 3

    run_with_replica(model, test)


def test_paths_that_are_not_ours(model: Model) -> None:
    """Another revision or route is 404, another method 405. Both have the v2 error shape."""

    async def test(_: Replica, app: ASGIApp) -> None:
        replies = [
            await call(app, "GET", "/versions/2/ready", prefix=PREFIX),
            await call(app, "GET", "/nothing", prefix=PREFIX),
            await call(app, "GET", "/infer", prefix=PREFIX),
        ]
        assert [reply.status for reply in replies] == [404, 404, 405]
        assert [reply.json["status"] for reply in replies] == [404, 404, 405]
        assert replies[2].json["error"] == "got GET on /v2/models/toy/infer, expected POST"
        assert replies[2].headers["allow"] == "POST"

    run_with_replica(model, test)


def test_overload_is_429_with_retry_after(model: Model) -> None:
    """When no more tokens are admitted, a call is refused at once, with whole seconds until a retry may succeed."""
    small = model.model_copy(update={"max_backlog_tokens": 40})
    engine = GatedEngine(small)

    async def test(_: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(send_call(app, packed([[1] * 30])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        reply = await send_call(app, packed([[2] * 30]))
        assert (reply.status, reply.json["code"]) == (429, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1
        engine.gate.set()
        assert (await first).status == 200

    run_with_replica(small, test, lambda: engine)
