"""A replica through its HTTP side, in this process: answers, refusals, deadlines, and shutdown."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from serve.engine.engine import Engine
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from serve.engine.warm_up import probe_row
from serve.replica import Replica, Timeouts
from shared.catalog import Model
from shared.errors import GlossaError, ReplicaError
from shared.limits import MAX_BODY_BYTES, MAX_CALL_ROWS
from shared.messages import InferCall, Tensor
from shared.protocol import decode_error, decode_output, encode_call
from tests.unit.serve.asgi import Reply, call
from tests.unit.serve.engine.engines import LIMIT_S, FaultyEngine, GatedEngine

PREFIX = "/v2/models/toy"
SHORT = Timeouts(answer_s=LIMIT_S, probe_s=0.05, fresh_s=-1.0)

Test = Callable[[Replica, ASGIApp], Coroutine[Any, Any, None]]


def _serve(
    model: Model, test: Test, load: Callable[[], Engine] | None = None, timeouts: Timeouts | None = None
) -> None:
    """Run a test against a replica, and drain the replica afterwards."""
    replica = Replica(model, load or (lambda: FakeEngine(model)), timeouts=timeouts)

    async def whole() -> None:
        await test(replica, replica.__serve_build_asgi_app__())
        await replica.drain()

    asyncio.run(whole())


def _packed(rows: Sequence[Sequence[int]], head: str = "topic", **fields: Any) -> InferCall:
    flat = [i for row in rows for i in row]
    return InferCall("toy", head, Tensor.ints(flat), Tensor.ints(map(len, rows)), **fields)


async def _send(app: ASGIApp, asked: InferCall, headers: Mapping[str, str] | None = None) -> Reply:
    body = encode_call(asked)
    return await call(app, "POST", "/infer", body=body.data, headers={**body.headers, **(headers or {})}, prefix=PREFIX)


async def _post(app: ASGIApp, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return await call(app, "POST", "/infer", body=data, headers=headers, prefix=PREFIX)


async def _until(is_so: Callable[[], bool]) -> None:
    """Let others run until a condition is true, at most 10 s."""
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the condition did not become true")


def _padded(ids: list[list[int]], head: str = "topic", **parameters: Any) -> dict[str, Any]:
    shape = [len(ids), len(ids[0])]
    mask = [1] * (shape[0] * shape[1])
    return {
        "parameters": {"head": head, **parameters},
        "inputs": [
            {"name": "input_ids", "datatype": "INT64", "shape": shape, "data": ids},
            {"name": "attention_mask", "datatype": "INT64", "shape": shape, "data": mask},
        ],
    }


def test_packed_call_is_answered_as_the_engine_does(model: Model) -> None:
    """Binary in, binary out: the same tensors as without a replica, and the seconds of both stages."""

    async def test(_: Replica, app: ASGIApp) -> None:
        for asked in (
            _packed([[0, 5, 2], [7], [8, 9]]),
            _packed([[3, 4], [5]], "entities"),
            _packed(
                [[3, 4, 5]], "mlm", positions=Tensor.ints([1]), positions_per_row=Tensor.ints([1]), target_ids=(9,)
            ),
            _packed([[1, 2]], "embed", normalize=True),
        ):
            reply = await _send(app, asked)
            assert reply.status == 200
            outputs = decode_output(reply.headers, reply.body)
            assert outputs.outputs == infer(FakeEngine(model), asked).outputs
            assert set(outputs.timings_s) == {"queue", "infer"}

    _serve(model, test)


def test_padded_json_call_is_answered_in_json(model: Model) -> None:
    """The common form: padded INT64 ids with a mask in plain JSON. The request's id comes back."""

    async def test(_: Replica, app: ASGIApp) -> None:
        reply = await _post(app, {"id": "my-1", **_padded([[5, 6], [7, 8]])})
        expected = infer(FakeEngine(model), _packed([[5, 6], [7, 8]])).outputs["logits"]
        assert (reply.status, reply.json["id"], reply.json["model_version"]) == (200, "my-1", "1")
        assert reply.json["outputs"][0]["data"] == pytest.approx(list(expected.float_values()))

    _serve(model, test)


BAD_BODIES: dict[str, tuple[int, object, dict[str, str]]] = {
    "empty": (400, b"", {}),
    "not JSON": (400, b"{", {}),
    "not UTF-8": (400, b'{"id": "\xff"}', {}),
    "a list": (400, [], {}),
    "deep": (413, b"[" * 100_000, {}),
    "no inputs": (400, {}, {}),
    "no rows": (422, _padded([[]]), {}),
    "a string for a number": (400, _padded([["5"]]), {}),  # type: ignore[list-item] # wrong on purpose
    "id out of vocabulary": (422, _padded([[100]]), {}),
    "negative id": (422, _padded([[-1]]), {}),
    "row too long": (413, _padded([[1] * 33]), {}),
    "too many rows": (413, _padded([[1]] * (MAX_CALL_ROWS + 1)), {}),
    "unknown head": (404, _padded([[1]], head="no-such"), {}),
    "no head among many": (422, {**_padded([[1]]), "parameters": {}}, {}),
    "unknown parameter": (422, _padded([[1]], warmth=1), {}),
    "other tokenizer": (409, _padded([[1]], tokenizer="f" * 64), {}),
    "mask head without positions": (422, _padded([[1]], head="mlm"), {}),
    "wrong model name": (422, {**_padded([[1]]), "model_name": "other"}, {}),
    "timeout that is no number": (400, _padded([[1]]), {"x-request-timeout-seconds": "soon"}),
    "timeout below zero": (400, _padded([[1]]), {"x-request-timeout-seconds": "-1"}),
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
        reply = await _post(app, body, headers)
        assert reply.status == status, reply.body
        assert reply.json["error"] == reply.json["detail"]
        error = decode_error(reply.status, reply.body)
        assert type(error) is not ReplicaError
        assert error.status == status
        assert (await _send(app, _packed([[1]]))).status == 200

    _serve(model, test)


def test_body_without_a_length_is_cut_off_at_the_limit(model: Model) -> None:
    """A body in chunks is refused as soon as it exceeds the limit."""

    async def test(_: Replica, app: ASGIApp) -> None:
        reply = await call(app, "POST", "/infer", body=[b" " * 2**20] * 9, prefix=PREFIX)
        assert (reply.status, reply.json["code"]) == (413, "too-large")

    _serve(model, test)


def test_refusals_are_counted_by_code(model: Model) -> None:
    """Statistics count answered rows and refusals apart."""

    async def test(_: Replica, app: ASGIApp) -> None:
        await _send(app, _packed([[1], [2, 3]]))
        await _post(app, _padded([[1]], head="no-such"))
        stats = (await call(app, "GET", "/stats", prefix=PREFIX)).json["model_stats"][0]
        assert (stats["inference_count"], stats["execution_count"]) == (2, 1)
        assert stats["inference_stats"]["success"]["count"] == 1
        assert stats["glossa"]["refused"] == {"not-found": 1}
        assert stats["glossa"]["n_tokens"] == 3

    _serve(model, test)


def test_metadata_names_heads_limits_and_fingerprint(model: Model) -> None:
    """A client learns from the metadata all that it needs to make a call."""

    async def test(_: Replica, app: ASGIApp) -> None:
        for path in ("", "/", "/versions/1"):
            told = (await call(app, "GET", path, prefix=PREFIX)).json
            assert (told["name"], told["versions"], told["fingerprint"]) == ("toy", ["1"], model.tokenizer_sha256)
            assert told["heads"]["topic"]["labels"] == ["a", "b", "c"]
            assert told["limits"]["max_row_tokens"] == 32
            assert {"input_ids", "row_lengths"} <= {entry["name"] for entry in told["inputs"]}
            assert {"logits", "vectors", "top_ids"} <= {entry["name"] for entry in told["outputs"]}

    _serve(model, test)


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

    _serve(model, test)


def test_overload_is_429_with_retry_after(model: Model) -> None:
    """When no more tokens are admitted, a call is refused at once, with whole seconds until a retry may succeed."""
    small = model.model_copy(update={"max_backlog_tokens": 40})
    engine = GatedEngine(small)

    async def test(_: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(_send(app, _packed([[1] * 30])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        reply = await _send(app, _packed([[2] * 30]))
        assert (reply.status, reply.json["code"]) == (429, "overloaded")
        assert int(reply.headers["retry-after"]) >= 1
        engine.gate.set()
        assert (await first).status == 200

    _serve(small, test, lambda: engine)


def test_time_over_is_504_and_nothing_runs(model: Model) -> None:
    """A call that waits past its deadline gets a 504 while the engine is still busy, and its rows never run."""
    engine = GatedEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(_send(app, _packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        reply = await _send(app, _packed([[77]]), {"x-request-timeout-seconds": "0.02"})
        assert (reply.status, reply.json["code"]) == (504, "deadline-exceeded")
        assert reply.json["error"] == "got 0.02 s to answer 1 row of 1 token in, expected more: the rows were dropped"
        engine.gate.set()
        assert (await first).status == 200
        assert [77] not in [ids for rows in engine.passes for ids in rows]
        assert replica.runner.counts.n_expired == 1

    _serve(model, test, lambda: engine)


def test_the_shortest_time_is_over_at_once(model: Model) -> None:
    """The 504 names even a microsecond, the least that a v2 client can ask, whoever notices that it is over."""
    engine = GatedEngine(model)

    async def test(_: Replica, app: ASGIApp) -> None:
        engine.shut()
        reply = await _post(app, _padded([[1, 2], [3, 4]], timeout=1))
        assert reply.status == 504
        assert reply.json["error"].startswith("got 1e-06 s to answer 2 rows of 4 tokens in, expected more")
        engine.gate.set()

    _serve(model, test, lambda: engine)


def test_a_caller_that_leaves_takes_its_rows_along(model: Model) -> None:
    """When the request's task is cancelled, its waiting rows leave the queue."""
    engine = GatedEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(_send(app, _packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        gone = asyncio.create_task(_send(app, _packed([[2] * 9])))
        await _until(lambda: replica.runner.backlog_tokens == 10)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert replica.runner.backlog_tokens == 1
        engine.gate.set()
        assert (await first).status == 200
        assert replica.runner.counts.n_cancelled == 1

    _serve(model, test, lambda: engine)


def test_the_event_loop_is_free_during_a_pass(model: Model) -> None:
    """While the engine works, metadata and refusals are answered."""
    engine = GatedEngine(model)

    async def test(_: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(_send(app, _packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        assert (await call(app, "GET", "", prefix=PREFIX)).status == 200
        assert (await _post(app, b"{")).status == 400
        engine.gate.set()
        assert (await first).status == 200
        assert engine.threads == {"loading_0", "engine"}  # the first did the warm-up

    _serve(model, test, lambda: engine)


def test_drain_finishes_calls_and_refuses_new_ones(model: Model) -> None:
    """On shutdown the call in flight is answered, and a new one gets 503 with Retry-After."""
    engine = GatedEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(_send(app, _packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        inbox: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        outbox: list[Message] = []

        async def receive() -> Message:
            return inbox.pop(0)

        async def send(message: Message) -> None:
            outbox.append(message)

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        ending = asyncio.ensure_future(app(scope, receive, send))
        await _until(lambda: replica.runner.is_draining)
        reply = await _send(app, _packed([[2]]))
        assert (reply.status, reply.json["code"]) == (503, "unavailable")
        assert reply.headers["retry-after"] == "1"
        assert (await call(app, "GET", "/ready", prefix=PREFIX)).status == 503
        engine.gate.set()
        assert (await first).status == 200
        await ending
        assert outbox[-1]["type"] == "lifespan.shutdown.complete"

    _serve(model, test, lambda: engine)


def test_health_is_a_forward_pass(model: Model) -> None:
    """The health check passes when the engine answers, and fails when it hangs or breaks."""
    engine = GatedEngine(model)

    async def hangs(replica: Replica, app: ASGIApp) -> None:
        await replica.check_health()
        assert (await call(app, "GET", "/ready", prefix=PREFIX)).json == {"name": "toy", "version": "1", "ready": True}
        engine.shut()
        with pytest.raises(TimeoutError):
            await replica.check_health()
        assert (await call(app, "GET", "/versions/1/ready", prefix=PREFIX)).status == 503
        engine.gate.set()

    async def breaks(replica: Replica, _: ASGIApp) -> None:
        faulty.is_dead = True
        with pytest.raises(GlossaError):
            await replica.check_health()

    _serve(model, hangs, lambda: engine, SHORT)
    faulty = FaultyEngine(model)
    _serve(model, breaks, lambda: faulty, SHORT)


def test_a_broken_pass_is_500_without_its_message(model: Model) -> None:
    """The 500 in the v2 shape names the type of the error, and nothing of the call."""

    async def test(_: Replica, app: ASGIApp) -> None:
        faulty.is_dead = True
        reply = await _send(app, _packed([[1]]))
        assert (reply.status, reply.json["code"]) == (500, "internal")
        assert "planted" not in reply.body.decode()

    faulty = FaultyEngine(model)
    _serve(model, test, lambda: faulty)


def test_a_replica_that_cannot_answer_does_not_start(model: Model) -> None:
    """Warm-up runs every head. An engine that breaks there is never served."""
    faulty = FaultyEngine(model)
    faulty.is_dead = True
    with pytest.raises(RuntimeError, match="planted"):
        Replica(model, lambda: faulty)


def test_warm_up_runs_every_head(model: Model) -> None:
    """Each head answers its smallest row before the replica is ready."""
    assert [probe_row(model, head).head for head in model.heads] == list(model.heads)
    assert all(isinstance(FakeEngine(model).forward([probe_row(model, head)])[0], dict) for head in model.heads)


def test_the_only_head_needs_no_name(model: Model) -> None:
    """A model with one head takes calls that name none. A plain fine-tuned checkpoint is such a model."""
    single = model.model_copy(update={"heads": {"topic": model.heads["topic"]}})

    async def test(_: Replica, app: ASGIApp) -> None:
        assert (await _post(app, {**_padded([[1, 2]]), "parameters": {}})).status == 200

    _serve(single, test)
