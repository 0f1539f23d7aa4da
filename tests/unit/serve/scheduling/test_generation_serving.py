"""Generation through the runner and over HTTP: steps, cancellation, deadlines, and room for caches."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from serve.engine.fake import FakeEngine
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from serve.http.callers import no_check
from serve.replica import Replica
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult, Step, row_of
from serve.scheduling.pending_calls import PendingCall, PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler
from shared.catalog import Model
from shared.errors import DeadlineExceeded, GlossaError, Unavailable
from shared.messages import InferCall, Sampling, Tensor
from shared.protocol import decode_output, encode_call
from tests import checkpoints
from tests.unit.serve.asgi import Reply, call
from tests.unit.serve.engine.engines import LIMIT_S, GatedEngine

TOKEN_BYTES = 8
ENDLESS = Sampling(max_new_tokens=25)


@pytest.fixture(scope="module")
def generating(model: Model) -> Model:
    """Make a model with a generating head. No token ends its texts."""
    facts = model.model_dump()
    return Model.model_validate({**facts, "heads": {**facts["heads"], "lm": {"task": "text-generation"}}})


class StepGate(GatedEngine):
    """Closes its gate after `n_open` passes. With `breaks`, passes of two rows or more raise an error."""

    def __init__(self, model: Model, n_open: int = 10**6, *, breaks: bool = False) -> None:
        super().__init__(model)
        self.n_open, self.breaks = n_open, breaks

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake engine does, unless told to wait or break."""
        if self.n_forwards == self.n_open:
            self.shut()
        if self.breaks and len(rows) > 1:
            raise RuntimeError("planted")
        return super().forward(rows, between)


def _until(is_so: Callable[[], bool]) -> None:
    """Wait until another thread makes a condition true, at most 10 s."""
    for _ in range(10_000):
        if is_so():
            return
        time.sleep(0.001)
    raise AssertionError("the condition did not become true")


def _runner(engine: FakeEngine) -> Runner:
    scheduler = Scheduler[PendingRow](token_budget=64, max_backlog_tokens=10_000, max_batch_ms=None)
    return Runner(engine, scheduler, row_of([0], "topic"))


def _submit(
    runner: Runner, *prompts: Sequence[int], deadline_s: float = 1e9, sampling: Sampling = ENDLESS
) -> PendingCall:
    rows = [row_of(ids, "lm", sampling=sampling) for ids in prompts]
    return runner.submit(rows, deadline_s=deadline_s, priority="interactive", tenant="t")


def _call(prompts: Sequence[Sequence[int]], **asked: Any) -> InferCall:
    flat, beside = [i for ids in prompts for i in ids], {k: asked.pop(k) for k in ("timeout_s",) if k in asked}
    sampling = Sampling(**{"max_new_tokens": 6, **asked})
    return InferCall("toy", "lm", Tensor.ints(flat), Tensor.ints(map(len, prompts)), sampling=sampling, **beside)


def test_generating_and_encoder_rows_share_passes(generating: Model) -> None:
    """A row is classified in the middle of a generation, and both answers are the same as alone."""
    engine = StepGate(generating, n_open=3)
    runner = _runner(engine)
    long = _submit(runner, [4, 5])
    _until(lambda: not engine.gate.is_set())
    short = runner.submit([row_of([7], "topic")], deadline_s=1e9, priority="interactive", tenant="t")
    engine.n_open = -1
    engine.gate.set()
    short.future.result(LIMIT_S)
    answered = long.future.result(LIMIT_S)
    assert any(len(batch) > 1 and [7] in batch for batch in engine.passes)
    assert answered.results[0]["row_lengths"].tolist() == [25]
    assert (runner.counts.n_generated_tokens, runner.counts.n_rows, runner.counts.n_answered) == (25, 2, 2)
    assert (runner.backlog_tokens, runner.kv_cache_bytes) == (0, 0)
    assert runner.drain(LIMIT_S)


def test_a_pass_that_breaks_is_halved_at_each_step(generating: Model) -> None:
    """Every pass of two rows breaks and runs in halves. The rows still get the same ids."""
    runner = _runner(StepGate(generating, breaks=True))
    prompts, sampling = ([4, 5], [6]), Sampling(max_new_tokens=6, do_sample=True, seed=1)
    ids = [
        found["ids"].tolist() for found in _submit(runner, *prompts, sampling=sampling).future.result(LIMIT_S).results
    ]
    whole = list(infer(FakeEngine(generating), _call(prompts, do_sample=True, seed=1)).outputs["ids"].int_values())
    assert ids[0] + ids[1] == whole
    assert runner.counts.n_broken_passes == 6
    assert runner.drain(LIMIT_S)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_continuation_ends_when_nobody_waits_for_it(generating: Model, how: str) -> None:
    """After a cancel or its deadline, it takes no further pass and holds nothing."""
    engine = StepGate(generating, n_open=3)
    engine.rules = type(engine.rules)(cache_token_bytes=TOKEN_BYTES)
    now_s = [0.0]
    scheduler = Scheduler[PendingRow](token_budget=64, max_backlog_tokens=1000, max_batch_ms=None)
    runner = Runner(engine, scheduler, row_of([0], "topic"), clock=lambda: now_s[0])
    pending_call = _submit(runner, [4, 5], deadline_s=10.0)
    _until(lambda: not engine.gate.is_set())
    assert runner.kv_cache_bytes == TOKEN_BYTES * 27
    now_s[0] = 5.0 if how == "cancel" else 10.0
    if how == "cancel":
        runner.cancel(pending_call, Unavailable("gone"))
    engine.n_open = -1
    engine.gate.set()
    assert runner.drain(LIMIT_S)
    error = pending_call.future.exception(0)
    assert isinstance(error, Unavailable if how == "cancel" else DeadlineExceeded)
    assert (engine.n_forwards, runner.backlog_tokens, runner.kv_cache_bytes) == (4, 0, 0)


def test_caches_are_freed_when_a_call_ends(tmp_path: Path) -> None:
    """Once the pass of a cancelled call is over, no reference to its keys and values is left."""
    folder = checkpoints.write(checkpoints.draw("XLMRobertaForCausalLM", is_decoder=True, vocab_size=60), tmp_path)
    engine = load_engine(checkpoints.catalog_model(folder, eos_id=60), folder, device="cpu")
    caches: list[weakref.ref[object]] = []
    forward, box = engine.forward, list[Runner]()

    def observed(rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        results = forward(rows, between)
        caches.extend(weakref.ref(r.row.cache) for r in results if isinstance(r, Step) and r.row.cache is not None)
        if len(caches) == 4:
            box[0].cancel(pending_calls[0], Unavailable("gone"))
        return results

    engine.forward = observed  # type: ignore[method-assign] # the same engine, observed
    pending_calls: list[PendingCall] = []
    scheduler = Scheduler[PendingRow](token_budget=64, max_backlog_tokens=1000, max_batch_ms=None)
    box.append(Runner(engine, scheduler, row_of([0], "embed")))
    with box[0]._lock:  # the thread waits until the call is known
        pending_calls.append(_submit(box[0], [4, 5], sampling=Sampling(max_new_tokens=200)))
    assert isinstance(pending_calls[0].future.exception(LIMIT_S), Unavailable)
    box[0].probe().result(LIMIT_S)  # the pass is over
    gc.collect()
    assert len(caches) == 4
    assert not any(cache() for cache in caches)
    assert box[0].drain(LIMIT_S)


Test = Callable[[Replica, Callable[[InferCall], Coroutine[Any, Any, Reply]]], Coroutine[Any, Any, None]]


def _serve(engine: FakeEngine, test: Test) -> None:
    replica = Replica(engine.model, lambda: engine, verifier=no_check)
    app = replica.__serve_build_asgi_app__()

    async def send(asked: InferCall) -> Reply:
        body = encode_call(asked)
        prefix = "/v2/models/toy"
        return await call(app, "POST", "/infer", body=body.data, headers=dict(body.headers), prefix=prefix)

    async def whole() -> None:
        await test(replica, send)
        await replica.drain()

    asyncio.run(whole())


def test_generation_over_http_is_what_it_is_without(generating: Model) -> None:
    """New ids of three sequences a row come back packed, as without a replica. The tokens are counted."""

    async def test(replica: Replica, send: Callable[[InferCall], Coroutine[Any, Any, Reply]]) -> None:
        asked = _call([[4, 5], [6]], do_sample=True, num_return_sequences=3, seed=2)
        reply = await send(asked)
        assert reply.status == 200
        outputs = decode_output(reply.headers, reply.body).outputs
        assert outputs == infer(FakeEngine(generating), asked).outputs
        assert outputs["row_lengths"].shape == (6,)
        statistics: Any = replica.statistics()
        said = statistics["model_stats"][0]["glossa"]
        assert (said["n_generated_tokens"], said["cache_bytes"]) == (36, 0)

    _serve(FakeEngine(generating, cache_token_bytes=TOKEN_BYTES), test)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"max_new_tokens": 31}, 422, "row 0: got a prompt of 2 tokens and max_new_tokens 31"),
        ({"num_return_sequences": 2}, 422, "without do_sample"),
        (
            {"max_new_tokens": 30, "do_sample": True, "num_return_sequences": 4},
            413,
            "bytes of keys and values, at most",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused_over_http(
    generating: Model, asked: dict[str, Any], status: int, said: str
) -> None:
    """Too many tokens, greedy sequences, or more than the cache can ever hold: the error has value and expectation."""

    async def test(_: Replica, send: Callable[[InferCall], Coroutine[Any, Any, Reply]]) -> None:
        reply = await send(_call([[4, 5]], **asked))
        assert reply.status == status
        assert said in reply.json["error"]

    small = generating.model_copy(update={"max_cache_bytes": TOKEN_BYTES * 100})
    _serve(FakeEngine(small, cache_token_bytes=TOKEN_BYTES), test)


def test_a_full_cache_is_429_with_retry_after(generating: Model) -> None:
    """While the keys and values of another call take the room, a call is told when to try again."""
    small = generating.model_copy(update={"max_cache_bytes": TOKEN_BYTES * 40})
    engine = StepGate(small)
    engine.rules = type(engine.rules)(cache_token_bytes=TOKEN_BYTES)

    async def test(_: Replica, send: Callable[[InferCall], Coroutine[Any, Any, Reply]]) -> None:
        engine.shut()
        first = asyncio.create_task(send(_call([[4, 5]], max_new_tokens=25)))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        refused = await send(_call([[4, 5]], max_new_tokens=25))
        engine.gate.set()
        assert (refused.status, (await first).status) == (429, 200)
        assert int(refused.headers["retry-after"]) >= 1

    _serve(engine, test)


def test_a_caller_that_goes_away_ends_the_generation(generating: Model) -> None:
    """When the request's task is cancelled in the middle of a generation, its row takes no further pass."""
    engine = StepGate(generating)

    async def test(replica: Replica, send: Callable[[InferCall], Coroutine[Any, Any, Reply]]) -> None:
        engine.n_open = engine.n_forwards + 3
        gone = asyncio.create_task(send(_call([[4, 5]], max_new_tokens=25)))
        await asyncio.to_thread(_until, lambda: not engine.gate.is_set())
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        n_forwards, engine.n_open = engine.n_forwards, -1
        engine.gate.set()
        await replica.drain()
        assert engine.n_forwards <= n_forwards + 1
        assert (replica.runner.counts.n_cancelled, replica.runner.backlog_tokens) == (1, 0)

    _serve(engine, test)


def test_the_time_of_a_request_ends_its_generation(generating: Model) -> None:
    """A generation that is not done in time is a 504, and its row leaves."""
    engine = StepGate(generating)

    async def test(replica: Replica, send: Callable[[InferCall], Coroutine[Any, Any, Reply]]) -> None:
        engine.n_open = engine.n_forwards + 2
        reply = await send(_call([[4, 5]], max_new_tokens=25, timeout_s=0.2))
        engine.n_open = -1
        engine.gate.set()
        assert reply.status == 504
        await replica.drain()
        assert replica.runner.backlog_tokens == 0

    _serve(engine, test)


def test_warm_up_of_a_generating_model_times_a_real_pass(generating: Model) -> None:
    """When the generating head is the only one, its probe and its longest row are answered, not refused."""
    only = generating.model_copy(update={"heads": {"lm": generating.heads["lm"]}})

    async def test(_: Replica, send: Callable[[InferCall], Coroutine[Any, Any, Reply]]) -> None:
        assert (await send(_call([[4]]))).status == 200

    class Strict(FakeEngine):
        def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
            results = super().forward(rows, between)
            assert not [error for error in results if isinstance(error, GlossaError)]
            return results

    _serve(Strict(only), test)
