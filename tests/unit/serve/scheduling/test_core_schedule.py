"""The core schedule, alone and in a runner: all cores or parallel passes, never both, and one may always start."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.fake import FakeEngine
from serve.engine.parallel_passes import BUSY_S, MIN_PASS_TOKENS, CoreSchedule, is_parallel_faster
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
from tests.unit.serve.scheduling.traffic import BrokenScheduler, runner_of, submit


@dataclass
class Rows:
    """Waiting rows: `waiting_tokens` in all, `longest` in the longest row."""

    waiting_tokens: int = 0
    longest: int = 1
    has_new: bool = True

    def is_parallel_faster(self, n_parallel: int) -> bool:
        """As the scheduler says."""
        return is_parallel_faster(self.waiting_tokens, self.longest, n_parallel)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["call", "all", "single", "end"]), st.integers(0, 400), st.integers(1, 400)), max_size=40
)


@given(n_parallel=st.integers(1, 6), events=EVENTS)
def test_the_two_kinds_of_passes_never_run_together(n_parallel: int, events: list[tuple[str, int, int]]) -> None:
    """One pass of all cores runs, or at most `n_parallel` passes of one core. While none runs, one may start."""
    rows = Rows()
    core_schedule = CoreSchedule(n_parallel, rows)
    running: list[bool] = []
    for number, (event, tokens, longest) in enumerate(events):
        now_s = number / 10
        if event == "call":
            rows.waiting_tokens, rows.longest, rows.has_new = tokens, longest, tokens % 3 > 0
            core_schedule.note_open_calls(1 + tokens % 7, now_s)
        elif event == "end" and running:
            core_schedule.end(now_s, is_single_core=running.pop())
        elif event in {"all", "single"} and core_schedule.may_start(is_single_core=event == "single"):
            running.append(event == "single")
            core_schedule.begin(is_single_core=running[-1])
        assert len(running) <= (n_parallel if all(running) else 1)
        assert core_schedule.n_running == len(running)
        if not running:
            assert core_schedule.may_start(is_single_core=False) or core_schedule.may_start(is_single_core=True)
        if n_parallel == 1:
            assert not core_schedule.may_start(is_single_core=True)


def test_a_call_that_is_alone_has_all_cores() -> None:
    """It has them however long ago the last call was."""
    core_schedule = CoreSchedule(2, Rows(60, 60))
    for now_s in (0.0, 0.01, 5.0):
        core_schedule.note_open_calls(1, now_s)
        assert core_schedule.may_start(is_single_core=False)
        assert not core_schedule.may_start(is_single_core=True)


def test_a_row_that_is_alone_for_a_moment_leaves_a_core_to_the_next() -> None:
    """Shortly after two calls were open at once, a lone row runs on one core. Later it runs on all cores again."""
    core_schedule = CoreSchedule(2, Rows(60, 60))
    core_schedule.note_open_calls(2, 0.0)
    core_schedule.note_open_calls(1, BUSY_S / 2)
    assert core_schedule.may_start(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=False)
    core_schedule.note_open_calls(1, BUSY_S)
    assert core_schedule.may_start(is_single_core=False)


def test_next_tokens_of_generating_rows_share_a_pass() -> None:
    """A few next tokens cost little more than reading the weights. All rows go together on all cores, busy or not."""
    core_schedule = CoreSchedule(2, Rows(MIN_PASS_TOKENS - 1, 1, has_new=False))
    core_schedule.note_open_calls(9, 0.0)
    assert core_schedule.may_start(is_single_core=False)
    core_schedule.begin(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=True)
    core_schedule.end(0.0, is_single_core=True)
    assert core_schedule.may_start(is_single_core=False)


def test_a_new_row_starts_beside_a_running_parallel_pass() -> None:
    """The next row waits for no pass."""
    rows = Rows(100, 50)
    core_schedule = CoreSchedule(2, rows)
    core_schedule.begin(is_single_core=True)
    rows.waiting_tokens = 1
    assert core_schedule.may_start(is_single_core=True)
    core_schedule.begin(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=True)


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
