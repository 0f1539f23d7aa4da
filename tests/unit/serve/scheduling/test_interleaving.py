"""Short rows between the layers of a long pass: answered meanwhile, changing nothing of it."""

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
    """Waits for `gate` before it lets others in and for `end` after it; says so by `began` and `past`."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.began, self.gate, self.past, self.end = (threading.Event() for _ in range(4))

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the faulty one does."""
        if between is None:
            return super().forward(rows)
        self.began.set()
        assert self.gate.wait(LIMIT_S)
        between()
        self.past.set()
        assert self.end.wait(LIMIT_S)
        return super().forward(rows)


class BrokenInPass(Scheduler[PendingRow]):
    """Cannot count a batch of one token as done."""

    def done(self, batch: Batch[PendingRow], seconds: float | None) -> None:
        """Count as the other does, but for that."""
        if batch.n_tokens == 1:
            raise LookupError("planted")
        super().done(batch, seconds)


class BrokenBetween(Scheduler[PendingRow]):
    """Cannot say what may run between layers."""

    def next_interleaved(self, batch: Batch[PendingRow], now_s: float) -> Batch[PendingRow]:
        """Fail."""
        raise LookupError("planted")


class Clock:
    """Stands until it is told a time."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class TimedEngine(FakeEngine):
    """Takes a second for each token, between which others run; tells of a pass through `began` and waits for `gate`."""

    def __init__(self, model: Model, clock: Clock) -> None:
        super().__init__(model)
        self.clock, self.began, self.gate = clock, threading.Event(), threading.Event()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake does."""
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
    """Return a runner in the midst of a long pass."""
    engine = PausingEngine(model)
    scheduler = kind(token_budget=BUDGET_TOKENS, max_backlog_tokens=1000, max_batch_ms=None)
    runner = Runner(engine, scheduler, row_of([0], "topic"), **named)
    host = _submit(runner, LONG, priority=priority)
    assert engine.began.wait(LIMIT_S)
    return engine, runner, host


@pytest.mark.parametrize("priority", ["interactive", "batch"])
def test_a_short_row_is_answered_while_a_long_pass_runs(model: Model, priority: str) -> None:
    """It need not wait for the end, whatever class that has; both have the answers they have alone."""
    engine, runner, host = _running(model, priority=priority)
    guest = _submit(runner, [2])
    engine.gate.set()
    answered = guest.future.result(LIMIT_S)
    assert not host.future.done()
    engine.end.set()
    found = [answered.results[0], host.future.result(LIMIT_S).results[0]]
    alone: Any = FakeEngine(model).forward([row_of([2], "topic"), row_of(LONG, "topic")])
    assert all(torch.equal(one["logits"], other["logits"]) for one, other in zip(found, alone, strict=True))
    assert runner.drain(LIMIT_S)
    assert (runner.counts.n_batches, runner.counts.n_rows, runner.backlog_tokens) == (2, 2, 0)


def test_a_guest_that_breaks_its_pass_fails_alone(model: Model) -> None:
    """The host is answered as if nobody had come."""
    engine, runner, host = _running(model)
    guest = _submit(runner, [POISON])
    engine.gate.set()
    engine.end.set()
    with pytest.raises(GlossaError, match="the forward pass failed with RuntimeError"):
        guest.future.result(LIMIT_S)
    assert host.future.result(LIMIT_S).results
    assert (runner.drain(LIMIT_S), runner.counts.n_broken_passes) == (True, 1)


def test_a_row_that_expires_meanwhile_is_told_so(model: Model) -> None:
    """Its deadline is looked at between layers, not only at the end of the pass."""
    clock = Clock()
    engine, runner, host = _running(model, clock=clock)
    late = _submit(runner, [2], deadline_s=1.0)
    clock.now_s = 1.0
    engine.gate.set()
    with pytest.raises(DeadlineExceeded):
        late.future.result(LIMIT_S)
    assert not host.future.done()
    engine.end.set()
    assert host.future.result(LIMIT_S).results
    assert runner.drain(LIMIT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the thread ends by it, as said
@pytest.mark.parametrize("kind", [BrokenInPass, BrokenBetween])
def test_a_fault_of_our_own_leaves_nobody_waiting(model: Model, kind: type[Scheduler[PendingRow]]) -> None:
    """It ends the thread as at any other time; neither guest nor host is left without an end."""
    engine, runner, host = _running(model, kind)
    guest = _submit(runner, [2])
    engine.gate.set()
    engine.end.set()
    for pending_call in (guest, host):
        with pytest.raises(Unavailable):
            pending_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_a_pass_that_gets_on_is_not_stuck(model: Model) -> None:
    """What counts is when it last came to a layer."""
    clock = Clock()
    engine, runner, host = _running(model, clock=clock)
    clock.now_s = 5.0
    assert runner.is_stuck(4.0)
    guest = _submit(runner, [2])
    engine.gate.set()
    guest.future.result(LIMIT_S)
    assert not runner.is_stuck(4.0)
    engine.end.set()
    host.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_a_guests_seconds_are_its_own(model: Model) -> None:
    """Host and guest each count for as long as they took alone, in what is counted and in what is learned."""
    clock = Clock()
    engine = TimedEngine(model, clock)
    scheduler = Scheduler[PendingRow](
        token_budget=BUDGET_TOKENS, max_backlog_tokens=1000, max_batch_ms=None, tokens_per_s=1.0
    )
    runner = Runner(engine, scheduler, row_of([0], "topic"), clock=clock)
    host = _submit(runner, LONG)
    assert engine.began.wait(LIMIT_S)
    guest = _submit(runner, [2] * 5)
    engine.gate.set()
    for pending_call in (guest, host):
        pending_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)
    assert runner.counts.forward_s == pytest.approx(len(LONG) + 5)
    assert runner.tokens_per_s == pytest.approx(1.0)
    assert guest.started_s == pytest.approx(len(LONG) / 2)


def test_a_host_that_is_cancelled_goes_on_for_its_guests(model: Model) -> None:
    """Its own answer is dropped; what it lets in is answered."""
    engine, runner, host = _running(model)
    runner.cancel(host, Unavailable("gone"))
    gone, guest = _submit(runner, [2]), _submit(runner, [3])
    runner.cancel(gone, Unavailable("gone"))
    engine.gate.set()
    assert guest.future.result(LIMIT_S).results
    engine.end.set()
    assert runner.drain(LIMIT_S)
    for pending_call in (host, gone):
        assert isinstance(pending_call.future.exception(0), Unavailable)
    assert runner.backlog_tokens == 0


def test_a_drain_waits_for_host_and_guests(model: Model) -> None:
    """All that was admitted is answered."""
    engine, runner, host = _running(model)
    guest = _submit(runner, [2])
    assert not runner.drain(0.01)
    engine.gate.set()
    engine.end.set()
    assert runner.drain(LIMIT_S)
    assert all(pending_call.future.result(0).results for pending_call in (host, guest))


def test_a_probe_is_not_kept_waiting_by_guests(model: Model) -> None:
    """While one waits nobody is let in; it goes before all batches."""
    engine, runner, host = _running(model)
    probe, guest = runner.probe(), _submit(runner, [2])
    engine.gate.set()
    assert engine.past.wait(LIMIT_S)
    assert not guest.future.done()
    engine.end.set()
    probe.result(LIMIT_S)
    assert all(pending_call.future.result(LIMIT_S).results for pending_call in (host, guest))
    assert runner.drain(LIMIT_S)
    assert runner.counts.n_batches == 2


@pytest.mark.parametrize(
    "kind",
    ["XLMRobertaForSequenceClassification", "XLMRobertaXLForSequenceClassification", "XLMForSequenceClassification"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_passes_between_layers_change_no_bit(kind: str, dtype: str, tmp_path: Path) -> None:
    """Of every family: another pass before each layer but the first, each with its own answers and the host's."""
    engine = load_engine(catalog_model(write(draw(kind), tmp_path), dtype=dtype), tmp_path, device="cpu")
    head = next(name for name in engine.model.heads if name != "embed")
    host, guest = (row_of(ids, head) for ids in draw_ids([60, 7]))
    alone: Any = [engine.forward([row])[0] for row in (host, guest)]
    met: list[Any] = []
    found: Any = engine.forward([host], lambda: met.extend(engine.forward([guest])))
    assert len(met) == engine.bounds.n_layers - 1 > 0
    assert torch.equal(found[0]["logits"], alone[0]["logits"])
    assert all(torch.equal(output["logits"], alone[1]["logits"]) for output in met)


def test_host_and_guest_may_both_generate(tmp_path: Path) -> None:
    """Each keeps its own keys and values: the tokens they choose are those they choose alone."""
    folder = write(draw("XLMRobertaForCausalLM"), tmp_path)
    engine = load_engine(catalog_model(folder, eos_id=500), folder, device="cpu")
    rows = [row_of(ids, "lm", sampling=Sampling(max_new_tokens=6)) for ids in draw_ids([40, 5])]

    def written(between: Callable[[], None] | None = None, row: Row = rows[0]) -> list[int]:
        """Return the tokens that a row writes, step by step."""
        [result] = engine.forward([engine.begin(row)], between)
        while isinstance(result, Step):
            [result] = engine.forward([result.row], between)
        assert isinstance(result, dict)
        return [int(token) for token in result["ids"]]

    met: list[list[int]] = []
    together = written(lambda: met.append(written(row=rows[1])))
    assert together == written()
    assert met
    assert all(one == written(row=rows[1]) for one in met)
