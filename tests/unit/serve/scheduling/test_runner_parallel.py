"""The runner with parallel passes: they run side by side, never beside a pass of all cores, and no call is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.fake import FakeEngine
from serve.engine.parallel_passes import MIN_PASS_TOKENS
from serve.rows.row import row_of
from serve.scheduling.pending_calls import PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler
from shared.catalog import Model
from shared.errors import Unavailable
from tests.unit.serve.engine.engines import (
    HELD,
    LIMIT_S,
    HoldingEngine,
    ParallelEngine,
)
from tests.unit.serve.scheduling.runners import BrokenScheduler, runner_of, submit


def test_parallel_passes_run_side_by_side(model: Model) -> None:
    """While one parallel pass hangs, others answer calls. A lone call runs on all cores."""
    engine = HoldingEngine(model)
    runner = runner_of(engine, token_budget=1000)
    submit(runner, [1]).future.result(LIMIT_S)
    assert [*engine.together] == [{"engine"}]
    row = [5] * MIN_PASS_TOKENS
    with runner._lock:  # both wait before a thread looks
        held, other = submit(runner, [HELD] * MIN_PASS_TOKENS), submit(runner, row)
    other.future.result(LIMIT_S)
    assert engine.entered.wait(LIMIT_S)
    submit(runner, row).future.result(LIMIT_S)
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
        together = [submit(runner, [1]), submit(runner, [1])]  # from now on, lone rows are for parallel passes
    for pending_call in together:
        pending_call.future.result(LIMIT_S)
    while runner._core_schedule.n_running:
        time.sleep(0.001)
    with runner._lock:  # no thread looks before the cancel
        gone, left = submit(runner, [5] * MIN_PASS_TOKENS), submit(runner, [5])
        runner.cancel(gone, Unavailable("gone"))
    left.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_is_gone_ends_the_others(model: Model) -> None:
    """When an error ends one of several threads, no call waits for the others, and all of them end."""
    scheduler = BrokenScheduler(token_budget=64, max_backlog_tokens=9999)
    runner = Runner(FakeEngine(model, n_parallel=3), scheduler, row_of([0], "topic"))
    with runner._lock:  # no thread ends before all calls are known
        pending_calls = [submit(runner, *[[5] * MIN_PASS_TOKENS] * 9) for _ in range(5)]
    for pending_call in pending_calls:
        with pytest.raises(Unavailable):
            pending_call.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, MIN_PASS_TOKENS), min_size=1, max_size=8), min_size=1, max_size=12))
def test_parallel_passes_and_all_cores_take_turns(model: Model, calls: list[list[int]]) -> None:
    """A parallel pass never runs beside the thread of all cores, and all calls are answered."""
    engine = ParallelEngine(model)
    runner = runner_of(engine, token_budget=200, max_backlog_tokens=10_000)
    pending_calls = [submit(runner, *([5] * length for length in lengths)) for lengths in calls]
    for pending_call, lengths in zip(pending_calls, calls, strict=True):
        assert len(pending_call.future.result(LIMIT_S).results) == len(lengths)
    assert runner.drain(LIMIT_S)
    assert all(names == {"engine"} or "engine" not in names for names in engine.together)
