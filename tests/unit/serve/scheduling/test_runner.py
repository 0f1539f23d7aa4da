"""The runner: every admitted call ends exactly once, whatever becomes of its rows."""

from __future__ import annotations

import time
from concurrent.futures import wait
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.fake import FakeEngine
from serve.engine.parallel_passes import MIN_PASS_TOKENS
from serve.rows.row import row_of
from serve.scheduling.pending_calls import PendingCall, PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler
from shared.catalog import Model
from shared.errors import DeadlineExceeded, GlossaError, Overloaded, ReplicaError, Unavailable
from tests.unit.serve.engine.engines import (
    BAD,
    HELD,
    LIMIT_S,
    POISON,
    FaultyEngine,
    GatedEngine,
    GatedFaultyEngine,
    HoldingEngine,
    ParallelEngine,
)

FOREVER_S = 1e6


def _runner(engine: FakeEngine, *, token_budget: int = 64, max_backlog_tokens: int = 1000) -> Runner:
    scheduler = Scheduler[PendingRow](
        token_budget=token_budget, max_backlog_tokens=max_backlog_tokens, max_batch_ms=None
    )
    return Runner(engine, scheduler, row_of([0], "topic"))


def _submit(runner: Runner, *rows: list[int], deadline_s: float = FOREVER_S, **named: Any) -> PendingCall:
    said = {"priority": "interactive", "tenant": "t", **named}
    return runner.submit([row_of(ids, "topic") for ids in rows], deadline_s=deadline_s, **said)


def test_answers_come_in_the_order_of_the_rows(model: Model) -> None:
    """A call larger than a batch gets the answer of each row, in the order it sent them."""
    rows = [[i] * (1 + i % 7) for i in range(30)]
    runner = _runner(FakeEngine(model))
    answered = _submit(runner, *rows).future.result(LIMIT_S)
    alone = FakeEngine(model).forward([row_of(ids, "topic") for ids in rows])
    assert not [error for error in alone if isinstance(error, GlossaError)]
    assert torch.equal(*(torch.cat([r["logits"] for r in results]) for results in (answered.results, alone)))  # type: ignore[index] # no errors, as asserted
    assert runner.drain(LIMIT_S)


def test_forward_runs_on_the_engine_thread_alone(model: Model) -> None:
    """Passes and probes run on one thread, which is not the caller's."""
    engine = GatedEngine(model)
    runner = _runner(engine)
    _submit(runner, [1]).future.result(LIMIT_S)
    runner.probe().result(LIMIT_S)
    assert engine.threads == {"engine"}
    assert runner.drain(LIMIT_S)


def test_parallel_passes_run_side_by_side(model: Model) -> None:
    """While one parallel pass hangs, others answer calls. A lone call runs on all cores."""
    engine = HoldingEngine(model)
    runner = _runner(engine, token_budget=1000)
    _submit(runner, [1]).future.result(LIMIT_S)
    assert [*engine.together] == [{"engine"}]
    row = [5] * MIN_PASS_TOKENS
    with runner._lock:  # both wait before a thread looks
        held, other = _submit(runner, [HELD] * MIN_PASS_TOKENS), _submit(runner, row)
    other.future.result(LIMIT_S)
    assert engine.entered.wait(LIMIT_S)
    _submit(runner, row).future.result(LIMIT_S)
    assert not held.future.done()
    engine.gate.set()
    held.future.result(LIMIT_S)
    assert {"core-0", "core-1"} in engine.together
    assert runner.drain(LIMIT_S)


def test_a_row_that_is_left_when_others_are_cancelled_runs(model: Model) -> None:
    """Enough rows wait for parallel passes, until a cancel leaves too few. Then the thread of all cores takes them."""
    scheduler = Scheduler[PendingRow](token_budget=64, max_backlog_tokens=1000, max_batch_ms=None)
    runner = Runner(FakeEngine(model, n_parallel=2), scheduler, row_of([0], "topic"), clock=lambda: 0.0)
    with runner._lock:
        together = [_submit(runner, [1]), _submit(runner, [1])]  # from now on, lone rows are for parallel passes
    for pending_call in together:
        pending_call.future.result(LIMIT_S)
    while runner._core_schedule.n_running:
        time.sleep(0.001)
    with runner._lock:  # no thread looks before the cancel
        gone, left = _submit(runner, [5] * MIN_PASS_TOKENS), _submit(runner, [5])
        runner.cancel(gone, Unavailable("gone"))
    left.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_a_bad_row_fails_its_own_call_only(model: Model) -> None:
    """Two calls share a batch. The call with a refused row ends with that error; the other is answered."""
    engine = GatedFaultyEngine(model)
    runner = _runner(engine)
    engine.shut()
    first = _submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    bad, good = _submit(runner, [2], [BAD]), _submit(runner, [3], [4])
    engine.gate.set()
    with pytest.raises(ReplicaError, match="row 1: planted"):
        bad.future.result(LIMIT_S)
    assert len(good.future.result(LIMIT_S).results) == 2
    assert len(engine.passes[-1]) == 4
    first.future.result(LIMIT_S)
    assert (runner.counts.n_answered, runner.counts.n_failed) == (2, 1)
    assert runner.drain(LIMIT_S)


def test_a_row_that_breaks_the_pass_fails_alone(model: Model) -> None:
    """A pass that raises an error is split until only the call of the row that breaks it is without an answer."""
    engine = GatedFaultyEngine(model)
    runner = _runner(engine)
    engine.shut()
    pending_calls = [_submit(runner, [1])]
    assert engine.entered.wait(LIMIT_S)
    pending_calls += [_submit(runner, [2], [3]), _submit(runner, [POISON]), _submit(runner, [4]), _submit(runner, [5])]
    engine.gate.set()
    errors = [pending_call.future.exception(LIMIT_S) for pending_call in pending_calls]
    assert [type(error) for error in errors] == [type(None), type(None), GlossaError, type(None), type(None)]
    assert runner.counts.n_broken_passes > 0
    assert runner.drain(LIMIT_S)


def test_expired_rows_never_run(model: Model) -> None:
    """A call whose deadline passes in the queue ends with DeadlineExceeded, and its rows reach no pass."""
    engine = GatedEngine(model)
    runner = _runner(engine)
    engine.shut()
    first = _submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    late = _submit(runner, [2], deadline_s=time.monotonic())
    engine.gate.set()
    with pytest.raises(DeadlineExceeded):
        late.future.result(LIMIT_S)
    first.future.result(LIMIT_S)
    assert [2] not in [ids for batch in engine.passes for ids in batch]
    assert runner.counts.n_expired == 1
    assert runner.drain(LIMIT_S)


def test_cancelled_rows_never_run(model: Model) -> None:
    """A cancelled call leaves the queue and frees its tokens."""
    engine = GatedEngine(model)
    runner = _runner(engine)
    engine.shut()
    first = _submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    gone = _submit(runner, [2, 2, 2])
    runner.cancel(gone, Unavailable("gone"))
    runner.cancel(gone, Unavailable("twice"))
    assert runner.backlog_tokens == 1
    engine.gate.set()
    first.future.result(LIMIT_S)
    assert engine.passes == [[[1]]]
    assert runner.counts.n_cancelled == 1
    assert runner.drain(LIMIT_S)


def test_admission_is_bounded_in_tokens(model: Model) -> None:
    """Beyond the bound, a call is refused with the seconds until it may be tried again."""
    engine = GatedEngine(model)
    runner = _runner(engine, max_backlog_tokens=10)
    engine.shut()
    first = _submit(runner, [1] * 6)
    with pytest.raises(Overloaded) as refused:
        _submit(runner, [2] * 6)
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 0
    engine.gate.set()
    first.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_drain_finishes_what_was_admitted(model: Model) -> None:
    """While draining, new calls and probes are refused, and admitted calls are answered."""
    engine = GatedEngine(model)
    runner = _runner(engine)
    engine.shut()
    first = _submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    second = _submit(runner, [2])
    assert not runner.drain(0.0)
    with pytest.raises(Unavailable):
        _submit(runner, [3])
    with pytest.raises(Unavailable):
        runner.probe().result(LIMIT_S)
    engine.gate.set()
    assert runner.drain(LIMIT_S)
    assert first.future.result(0)
    assert second.future.result(0)


def test_a_probe_goes_before_waiting_batches(model: Model) -> None:
    """With a long queue, the probe runs after the current pass, not after the queue."""
    engine = GatedEngine(model)
    runner = _runner(engine, token_budget=8)
    engine.shut()
    pending_calls = [_submit(runner, [1] * 8)]
    assert engine.entered.wait(LIMIT_S)
    pending_calls += [_submit(runner, [2] * 8) for _ in range(9)]
    probe = runner.probe()
    engine.gate.set()
    probe.result(LIMIT_S)
    wait([pending_call.future for pending_call in pending_calls], LIMIT_S)
    assert engine.passes[1] == [[0]]
    assert runner.drain(LIMIT_S)


def test_a_dead_engine_fails_its_probe_and_is_not_fresh(model: Model) -> None:
    """A broken pass does not count as a success, and its thread goes on."""
    engine = FaultyEngine(model)
    runner = _runner(engine)
    engine.is_dead = True
    assert isinstance(_submit(runner, [1]).future.exception(LIMIT_S), GlossaError)
    assert not runner.is_fresh(FOREVER_S)
    with pytest.raises(GlossaError, match="RuntimeError"):
        runner.probe().result(LIMIT_S)
    engine.is_dead = False
    runner.probe().result(LIMIT_S)
    assert runner.is_fresh(FOREVER_S)
    assert runner.drain(LIMIT_S)


class _BrokenScheduler(Scheduler[PendingRow]):
    """A scheduler with a bug outside the forward pass: it cannot count a batch as done."""

    def done(self, batch: object, seconds: float | None) -> None:
        raise KeyError("planted")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_thread_that_is_gone(model: Model) -> None:
    """When an error ends the thread itself, all its calls end, and new ones are refused."""
    runner = Runner(FakeEngine(model), _BrokenScheduler(token_budget=2, max_backlog_tokens=99), row_of([0], "topic"))
    with pytest.raises(Unavailable):
        _submit(runner, [1], [2], [3]).future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)
    with pytest.raises(Unavailable):
        _submit(runner, [4])
    with pytest.raises(Unavailable):
        runner.probe().result(LIMIT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_gone_ends_the_others(model: Model) -> None:
    """When an error ends one of several threads, no call waits for the others, and all of them end."""
    scheduler = _BrokenScheduler(token_budget=64, max_backlog_tokens=9999)
    runner = Runner(FakeEngine(model, n_parallel=3), scheduler, row_of([0], "topic"))
    with runner._lock:  # no thread ends before all calls are known
        pending_calls = [_submit(runner, *[[5] * MIN_PASS_TOKENS] * 9) for _ in range(5)]
    for pending_call in pending_calls:
        with pytest.raises(Unavailable):
            pending_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, MIN_PASS_TOKENS), min_size=1, max_size=8), min_size=1, max_size=12))
def test_parallel_passes_and_all_cores_take_turns(model: Model, calls: list[list[int]]) -> None:
    """A parallel pass never runs beside the thread of all cores, and all calls are answered."""
    engine = ParallelEngine(model)
    runner = _runner(engine, token_budget=200, max_backlog_tokens=10_000)
    pending_calls = [_submit(runner, *([5] * length for length in lengths)) for lengths in calls]
    for pending_call, lengths in zip(pending_calls, calls, strict=True):
        assert len(pending_call.future.result(LIMIT_S).results) == len(lengths)
    assert runner.drain(LIMIT_S)
    assert all(names == {"engine"} or "engine" not in names for names in engine.together)


CALLS = st.lists(
    st.tuples(
        st.lists(st.lists(st.sampled_from([1, 2, 3, BAD, POISON]), min_size=1, max_size=8), min_size=1, max_size=5),
        st.sampled_from(["interactive", "batch"]),
        st.sampled_from(["a", "b"]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(CALLS, st.sampled_from([1, 2, 3]))
def test_every_admitted_call_ends_once(
    model: Model, calls: list[tuple[list[list[int]], str, str, bool]], n_parallel: int
) -> None:
    """Bad rows, cancels, classes, tenants and parallel passes in any mix: each call ends, and the counts add up."""
    runner = _runner(FaultyEngine(model, n_parallel=n_parallel), token_budget=16)
    pending_calls = []
    for rows, priority, tenant, is_cancelled in calls:
        try:
            pending_call = _submit(runner, *rows, priority=priority, tenant=tenant)
        except Overloaded:
            continue
        pending_calls.append((pending_call, rows))
        if is_cancelled:
            runner.cancel(pending_call, Unavailable("gone"))
    assert runner.drain(LIMIT_S)
    assert runner.backlog_tokens == 0
    assert runner.counts.n_answered + runner.counts.n_failed + runner.counts.n_cancelled == len(pending_calls)
    for pending_call, rows in pending_calls:
        error = pending_call.future.exception(0)
        if not isinstance(error, Unavailable):
            assert (error is not None) == any({BAD, POISON} & set(row) for row in rows)
