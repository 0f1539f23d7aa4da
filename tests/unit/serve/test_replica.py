"""A replica through its HTTP side, in this process: answers, refusals, deadlines, and shutdown."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import ASGIApp, Message

from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from serve.engine.warm_up import probe_row
from serve.replica import Replica
from shared.catalog import Model
from shared.errors import GlossaError
from shared.messages import Tensor
from shared.protocol import decode_output
from tests.unit.serve.asgi import call
from tests.unit.serve.engine.engines import LIMIT_S, FaultyEngine, GatedEngine
from tests.unit.serve.replicas import PREFIX, SHORT, packed, padded, post, run_with_replica, send_call, until


def test_packed_call_is_answered_as_the_engine_does(model: Model) -> None:
    """Binary in, binary out: the same tensors as without a replica, and the seconds of both stages."""

    async def test(_: Replica, app: ASGIApp) -> None:
        for asked in (
            packed([[0, 5, 2], [7], [8, 9]]),
            packed([[3, 4], [5]], "entities"),
            packed([[3, 4, 5]], "mlm", positions=Tensor.ints([1]), positions_per_row=Tensor.ints([1]), target_ids=(9,)),
            packed([[1, 2]], "embed", normalize=True),
        ):
            reply = await send_call(app, asked)
            assert reply.status == 200
            outputs = decode_output(reply.headers, reply.body)
            assert outputs.outputs == infer(FakeEngine(model), asked).outputs
            assert set(outputs.timings_s) == {"queue", "infer"}

    run_with_replica(model, test)


def test_padded_json_call_is_answered_in_json(model: Model) -> None:
    """The common form: padded INT64 ids with a mask in plain JSON. The request's id comes back."""

    async def test(_: Replica, app: ASGIApp) -> None:
        reply = await post(app, {"id": "my-1", **padded([[5, 6], [7, 8]])})
        expected = infer(FakeEngine(model), packed([[5, 6], [7, 8]])).outputs["logits"]
        assert (reply.status, reply.json["id"], reply.json["model_version"]) == (200, "my-1", "1")
        assert reply.json["outputs"][0]["data"] == pytest.approx(list(expected.float_values()))

    run_with_replica(model, test)


def test_metadata_names_heads_limits_and_fingerprint(model: Model) -> None:
    """A client learns from the metadata all that it needs to make a call."""

    async def test(_: Replica, app: ASGIApp) -> None:
        for path in ("", "/", "/versions/1"):
            told = (await call(app, "GET", path, prefix=PREFIX)).json
            assert (told["name"], told["versions"], told["fingerprint"]) == ("toy", ["1"], model.tokenizer_sha256)
            assert told["heads"]["topic"]["labels"] == ["a", "b", "c"]
            assert told["limits"]["max_row_tokens"] == 32
            assert told["default_head"] == "topic"
            assert told["kernels"] == {"variant": "none", "prebuilt": False}  # of the engine without weights
            assert {"input_ids", "row_lengths"} <= {entry["name"] for entry in told["inputs"]}
            assert {"logits", "vectors", "top_ids"} <= {entry["name"] for entry in told["outputs"]}

    run_with_replica(model, test)


def test_a_call_without_a_head_is_for_the_first_one(model: Model) -> None:
    """Clients that know no heads get the model's default, and the answer says which one it was."""

    async def test(_: Replica, app: ASGIApp) -> None:
        unnamed = (await post(app, {**padded([[5, 6]]), "parameters": {}})).json
        named = (await post(app, padded([[5, 6]], head="topic"))).json
        assert unnamed["outputs"] == named["outputs"]
        assert (unnamed["parameters"]["head"], "head" in named["parameters"]) == ("topic", False)

    run_with_replica(model, test)


def test_classes_have_the_labels_of_their_head(model: Model) -> None:
    """The classification extension names what a number stands for."""
    asked = {**padded([[5, 6]]), "outputs": [{"name": "logits", "parameters": {"classification": 2}}]}

    async def test(_: Replica, app: ASGIApp) -> None:
        (entry,) = (await post(app, asked)).json["outputs"]
        assert (entry["datatype"], entry["shape"]) == ("BYTES", [1, 2])
        assert {text.split(":")[2] for text in entry["data"]} < {"a", "b", "c"}

    run_with_replica(model, test)


def test_the_configuration_is_as_triton_writes_it(model: Model) -> None:
    """Names and shapes are those of the metadata; statistics have every duration that Triton has."""

    async def test(_: Replica, app: ASGIApp) -> None:
        told = (await call(app, "GET", "", prefix=PREFIX)).json
        config = (await call(app, "GET", "/config", prefix=PREFIX)).json
        assert (config["name"], config["max_batch_size"]) == ("toy", 0)
        for ours, theirs in (("inputs", "input"), ("outputs", "output")):
            assert [(e["name"], e["shape"]) for e in told[ours]] == [(e["name"], e["dims"]) for e in config[theirs]]
        assert {entry["data_type"] for entry in config["input"]} == {"TYPE_INT32"}
        (stats,) = (await call(app, "GET", "/stats", prefix=PREFIX)).json["model_stats"]
        durations = [
            "success",
            "fail",
            "queue",
            "compute_input",
            "compute_infer",
            "compute_output",
            "cache_hit",
            "cache_miss",
        ]
        assert set(stats["inference_stats"]) == {*durations, "cache_hit", "cache_miss"}

    run_with_replica(model, test)


def test_time_over_is_504_and_nothing_runs(model: Model) -> None:
    """A call that waits past its deadline gets a 504 while the engine is still busy, and its rows never run."""
    engine = GatedEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(send_call(app, packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        reply = await send_call(app, packed([[77]]), {"x-request-timeout-seconds": "0.02"})
        assert (reply.status, reply.json["code"]) == (504, "deadline-exceeded")
        assert reply.json["error"] == "got 0.02 s to answer 1 row of 1 token in, expected more: the rows were dropped"
        engine.gate.set()
        assert (await first).status == 200
        assert [77] not in [ids for rows in engine.passes for ids in rows]
        assert replica.runner.counts.n_expired == 1

    run_with_replica(model, test, lambda: engine)


def test_the_shortest_time_is_over_at_once(model: Model) -> None:
    """The 504 names even a microsecond, the least that a v2 client can ask, whoever notices that it is over."""
    engine = GatedEngine(model)

    async def test(_: Replica, app: ASGIApp) -> None:
        engine.shut()
        reply = await post(app, padded([[1, 2], [3, 4]], timeout=1))
        assert reply.status == 504
        assert reply.json["error"].startswith("got 1e-06 s to answer 2 rows of 4 tokens in, expected more")
        engine.gate.set()

    run_with_replica(model, test, lambda: engine)


def test_a_caller_that_leaves_takes_its_rows_along(model: Model) -> None:
    """When the request's task is cancelled, its waiting rows leave the queue."""
    engine = GatedEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(send_call(app, packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        gone = asyncio.create_task(send_call(app, packed([[2] * 9])))
        await until(lambda: replica.runner.backlog_tokens == 10)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert replica.runner.backlog_tokens == 1
        engine.gate.set()
        assert (await first).status == 200
        assert replica.runner.counts.n_cancelled == 1

    run_with_replica(model, test, lambda: engine)


def test_the_event_loop_is_free_during_a_pass(model: Model) -> None:
    """While the engine works, metadata and refusals are answered."""
    engine = GatedEngine(model)

    async def test(_: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(send_call(app, packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        assert (await call(app, "GET", "", prefix=PREFIX)).status == 200
        assert (await post(app, b"{")).status == 400
        engine.gate.set()
        assert (await first).status == 200
        assert engine.threads == {"loading_0", "engine"}  # the first did the warm-up

    run_with_replica(model, test, lambda: engine)


def test_drain_finishes_calls_and_refuses_new_ones(model: Model) -> None:
    """On shutdown the call in flight is answered, and a new one gets 503 with Retry-After."""
    engine = GatedEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        first = asyncio.create_task(send_call(app, packed([[1]])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        inbox: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        outbox: list[Message] = []

        async def receive() -> Message:
            return inbox.pop(0)

        async def send(message: Message) -> None:
            outbox.append(message)

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        ending = asyncio.ensure_future(app(scope, receive, send))
        await until(lambda: replica.runner.is_draining)
        reply = await send_call(app, packed([[2]]))
        assert (reply.status, reply.json["code"]) == (503, "unavailable")
        assert reply.headers["retry-after"] == "1"
        assert (await call(app, "GET", "/ready", prefix=PREFIX)).status == 503
        engine.gate.set()
        assert (await first).status == 200
        await ending
        assert outbox[-1]["type"] == "lifespan.shutdown.complete"

    run_with_replica(model, test, lambda: engine)


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

    run_with_replica(model, hangs, lambda: engine, SHORT)
    faulty = FaultyEngine(model)
    run_with_replica(model, breaks, lambda: faulty, SHORT)


def test_a_broken_pass_is_500_without_its_message(model: Model) -> None:
    """The 500 in the v2 shape names the type of the error, and nothing of the call."""

    async def test(_: Replica, app: ASGIApp) -> None:
        faulty.is_dead = True
        reply = await send_call(app, packed([[1]]))
        assert (reply.status, reply.json["code"]) == (500, "internal")
        assert "planted" not in reply.body.decode()

    faulty = FaultyEngine(model)
    run_with_replica(model, test, lambda: faulty)


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
        assert (await post(app, {**padded([[1, 2]]), "parameters": {}})).status == 200

    run_with_replica(single, test)


def test_a_replica_takes_heads_while_it_runs(model: Model) -> None:
    """A head with a checkpoint of its own is answered once Ray has said it, and no more when it is taken out."""
    own = {"task": "text-classification", "labels": ["x"], "checkpoint": "mine", "weights_sha256": "a" * 64}

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine = replica.engine
        assert (await send_call(app, packed([[5, 6]], "mine"))).status == 404
        await replica.reconfigure({"heads": {"mine": own}, "defaults": ["mine"]})
        assert (await send_call(app, packed([[5, 6]], "mine"))).status == 200
        assert replica.engine is engine
        assert replica.model.head_for("text-classification", None) == "mine"
        await replica.reconfigure({"heads": {}, "defaults": ["topic"]})
        assert (await send_call(app, packed([[5, 6]], "mine"))).status == 404
        assert replica.model.heads == model.heads

    run_with_replica(model, test)
