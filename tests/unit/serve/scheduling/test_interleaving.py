"""Short rows between the layers of a long pass: they are answered meanwhile, and change nothing of its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from serve.engine.fake import FakeEngine
from serve.engine.load_engine import load_engine
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult, Step, row_of
from serve.scheduling.batch import Batch
from serve.scheduling.pending_calls import PendingCall, PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler
from shared.catalog import Model
from shared.errors import DeadlineExceeded, GlossaError, Unavailable
from shared.messages import Sampling
from tests.checkpoints import catalog_model, draw, draw_ids, write
from tests.unit.serve.engine.engines import LIMIT_S, POISON, FaultyEngine

BUDGET_TOKENS = 10
LONG = [1] * (2 * BUDGET_TOKENS)


class PausingEngine(FaultyEngine):
    """Waits for `gate` before it calls `between`, and for `end` after it. Sets `began` and `past` when it does."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.began, self.gate, self.past, self.end = (threading.Event() for _ in range(4))

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the faulty engine does."""
        if between is None:
            return super().forward(rows)
        self.began.set()
        assert self.gate.wait(LIMIT_S)
        between()
        self.past.set()
        assert self.end.wait(LIMIT_S)
        return super().forward(rows)


class BrokenInPass(Scheduler[PendingRow]):
    """A scheduler that raises an error when a batch of one token is done."""

    def done(self, batch: Batch[PendingRow], seconds: float | None) -> None:
        """Fail for a batch of one token."""
        if batch.n_tokens == 1:
            raise LookupError("planted")
        super().done(batch, seconds)


class BrokenBetween(Scheduler[PendingRow]):
    """A scheduler that raises an error when it is asked for interleaved rows."""

    def next_interleaved(self, batch: Batch[PendingRow], now_s: float) -> Batch[PendingRow]:
        """Fail."""
        raise LookupError("planted")


class Clock:
    """A clock that moves only when a test sets it."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class TimedEngine(FakeEngine):
    """Takes a second for each token, and calls `between` in the middle. Sets `began`, then waits for `gate`."""

    def __init__(self, model: Model, clock: Clock) -> None:
        super().__init__(model)
        self.clock, self.began, self.gate = clock, threading.Event(), threading.Event()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake engine does."""
        n_tokens = sum(row.n_tokens for row in rows)
        if between is not None:
            self.began.set()
            assert self.gate.wait(LIMIT_S)
            self.clock.now_s += n_tokens / 2
            between()
            n_tokens /= 2
        self.clock.now_s += n_tokens
        return super().forward(rows)


def _submit(runner: Runner, ids: list[int], deadline_s: float = 1e6, priority: str = "interactive") -> PendingCall:
    return runner.submit([row_of(ids, "topic")], deadline_s=deadline_s, priority=priority, tenant="t")


def _running(
    model: Model, kind: type[Scheduler[PendingRow]] = Scheduler, priority: str = "interactive", **named: Any
) -> tuple[PausingEngine, Runner, PendingCall]:
    """Return a runner that is in the middle of a long pass, and the call of that pass."""
    engine = PausingEngine(model)
    scheduler = kind(token_budget=BUDGET_TOKENS, max_backlog_tokens=1000, max_batch_ms=None)
    runner = Runner(engine, scheduler, row_of([0], "topic"), **named)
    long_call = _submit(runner, LONG, priority=priority)
    assert engine.began.wait(LIMIT_S)
    return engine, runner, long_call


@pytest.mark.parametrize("priority", ["interactive", "batch"])
def test_a_short_row_is_answered_while_a_long_pass_runs(model: Model, priority: str) -> None:
    """A short row need not wait for the end of a long pass of any class. Both get the answers that they get alone."""
    engine, runner, long_call = _running(model, priority=priority)
    short_call = _submit(runner, [2])
    engine.gate.set()
    answered = short_call.future.result(LIMIT_S)
    assert not long_call.future.done()
    engine.end.set()
    found = [answered.results[0], long_call.future.result(LIMIT_S).results[0]]
    alone: Any = FakeEngine(model).forward([row_of([2], "topic"), row_of(LONG, "topic")])
    assert all(torch.equal(one["logits"], other["logits"]) for one, other in zip(found, alone, strict=True))
    assert runner.drain(LIMIT_S)
    assert (runner.counts.n_batches, runner.counts.n_rows, runner.backlog_tokens) == (2, 2, 0)


def test_an_interleaved_row_that_breaks_its_pass_fails_alone(model: Model) -> None:
    """The long pass is answered as if no other row had run."""
    engine, runner, long_call = _running(model)
    short_call = _submit(runner, [POISON])
    engine.gate.set()
    engine.end.set()
    with pytest.raises(GlossaError, match="the forward pass failed with RuntimeError"):
        short_call.future.result(LIMIT_S)
    assert long_call.future.result(LIMIT_S).results
    assert (runner.drain(LIMIT_S), runner.counts.n_broken_passes) == (True, 1)


def test_a_row_that_expires_during_a_long_pass_ends_then(model: Model) -> None:
    """Deadlines are checked between layers, not only at the end of the pass."""
    clock = Clock()
    engine, runner, long_call = _running(model, clock=clock)
    late = _submit(runner, [2], deadline_s=1.0)
    clock.now_s = 1.0
    engine.gate.set()
    with pytest.raises(DeadlineExceeded):
        late.future.result(LIMIT_S)
    assert not long_call.future.done()
    engine.end.set()
    assert long_call.future.result(LIMIT_S).results
    assert runner.drain(LIMIT_S)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # the error ends the thread, as it should
@pytest.mark.parametrize("kind", [BrokenInPass, BrokenBetween])
def test_a_bug_of_the_scheduler_leaves_no_call_open(model: Model, kind: type[Scheduler[PendingRow]]) -> None:
    """It ends the thread, as it would at any other time. Both calls end."""
    engine, runner, long_call = _running(model, kind)
    short_call = _submit(runner, [2])
    engine.gate.set()
    engine.end.set()
    for pending_call in (short_call, long_call):
        with pytest.raises(Unavailable):
            pending_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_a_pass_that_makes_progress_is_not_stuck(model: Model) -> None:
    """The time counts from the last layer that it reached."""
    clock = Clock()
    engine, runner, long_call = _running(model, clock=clock)
    clock.now_s = 5.0
    assert runner.is_stuck(4.0)
    short_call = _submit(runner, [2])
    engine.gate.set()
    short_call.future.result(LIMIT_S)
    assert not runner.is_stuck(4.0)
    engine.end.set()
    long_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_interleaved_seconds_are_counted_apart(model: Model) -> None:
    """Each pass counts the time that it took itself, in the statistics and in the measured speed."""
    clock = Clock()
    engine = TimedEngine(model, clock)
    scheduler = Scheduler[PendingRow](
        token_budget=BUDGET_TOKENS, max_backlog_tokens=1000, max_batch_ms=None, tokens_per_s=1.0
    )
    runner = Runner(engine, scheduler, row_of([0], "topic"), clock=clock)
    long_call = _submit(runner, LONG)
    assert engine.began.wait(LIMIT_S)
    short_call = _submit(runner, [2] * 5)
    engine.gate.set()
    for pending_call in (short_call, long_call):
        pending_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)
    assert runner.counts.forward_s == pytest.approx(len(LONG) + 5)
    assert runner.tokens_per_s == pytest.approx(1.0)
    assert short_call.started_s == pytest.approx(len(LONG) / 2)


def test_a_cancelled_long_pass_still_runs_interleaved_rows(model: Model) -> None:
    """Its own answer is dropped; the interleaved row is answered."""
    engine, runner, long_call = _running(model)
    runner.cancel(long_call, Unavailable("gone"))
    gone, short_call = _submit(runner, [2]), _submit(runner, [3])
    runner.cancel(gone, Unavailable("gone"))
    engine.gate.set()
    assert short_call.future.result(LIMIT_S).results
    engine.end.set()
    assert runner.drain(LIMIT_S)
    for pending_call in (long_call, gone):
        assert isinstance(pending_call.future.exception(0), Unavailable)
    assert runner.backlog_tokens == 0


def test_a_drain_waits_for_the_long_pass_and_interleaved_rows(model: Model) -> None:
    """All admitted calls are answered."""
    engine, runner, long_call = _running(model)
    short_call = _submit(runner, [2])
    assert not runner.drain(0.01)
    engine.gate.set()
    engine.end.set()
    assert runner.drain(LIMIT_S)
    assert all(pending_call.future.result(0).results for pending_call in (long_call, short_call))


def test_no_rows_are_interleaved_while_a_probe_waits(model: Model) -> None:
    """The probe goes before all batches."""
    engine, runner, long_call = _running(model)
    probe, short_call = runner.probe(), _submit(runner, [2])
    engine.gate.set()
    assert engine.past.wait(LIMIT_S)
    assert not short_call.future.done()
    engine.end.set()
    probe.result(LIMIT_S)
    assert all(pending_call.future.result(LIMIT_S).results for pending_call in (long_call, short_call))
    assert runner.drain(LIMIT_S)
    assert runner.counts.n_batches == 2


@pytest.mark.parametrize(
    "kind",
    ["XLMRobertaForSequenceClassification", "XLMRobertaXLForSequenceClassification", "XLMForSequenceClassification"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_passes_between_layers_change_no_bit(kind: str, dtype: str, tmp_path: Path) -> None:
    """For each family, another pass runs before each layer but the first. All answers are the same as alone."""
    engine = load_engine(catalog_model(write(draw(kind), tmp_path), dtype=dtype), tmp_path, device="cpu")
    head = next(name for name in engine.model.heads if name != "embed")
    long_row, short_row = (row_of(ids, head) for ids in draw_ids([60, 7]))
    alone: Any = [engine.forward([row])[0] for row in (long_row, short_row)]
    interleaved: list[Any] = []
    found: Any = engine.forward([long_row], lambda: interleaved.extend(engine.forward([short_row])))
    assert len(interleaved) == engine.backbone_limits.n_layers - 1 > 0
    assert torch.equal(found[0]["logits"], alone[0]["logits"])
    assert all(torch.equal(output["logits"], alone[1]["logits"]) for output in interleaved)


def test_the_long_and_the_interleaved_row_may_both_generate(tmp_path: Path) -> None:
    """Each keeps its own keys and values, so each chooses the same tokens as alone."""
    folder = write(draw("XLMRobertaForCausalLM"), tmp_path)
    engine = load_engine(catalog_model(folder, eos_id=500), folder, device="cpu")
    rows = [row_of(ids, "lm", sampling=Sampling(max_new_tokens=6)) for ids in draw_ids([40, 5])]

    def generate(between: Callable[[], None] | None = None, row: Row = rows[0]) -> list[int]:
        """Return the tokens that a row generates, step by step."""
        [result] = engine.forward([engine.begin(row)], between)
        while isinstance(result, Step):
            [result] = engine.forward([result.row], between)
        assert isinstance(result, dict)
        return [int(token) for token in result["ids"]]

    interleaved: list[list[int]] = []
    together = generate(lambda: interleaved.append(generate(row=rows[1])))
    assert together == generate()
    assert interleaved
    assert all(one == generate(row=rows[1]) for one in interleaved)
