"""The runner: every admitted call ends exactly once, whatever becomes of its rows."""

from __future__ import annotations

import time
from concurrent.futures import wait

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.fake import FakeEngine
from serve.rows.row import row_of
from serve.scheduling.runner import Runner
from shared.catalog import Model
from shared.errors import DeadlineExceeded, GlossaError, Overloaded, ReplicaError, Unavailable
from tests.unit.serve.engine.engines import (
    BAD,
    LIMIT_S,
    POISON,
    FaultyEngine,
    GatedEngine,
    GatedFaultyEngine,
)
from tests.unit.serve.scheduling.traffic import FOREVER_S, BrokenScheduler, runner_of, submit


def test_answers_come_in_the_order_of_the_rows(model: Model) -> None:
    """A call larger than a batch gets the answer of each row, in the order it sent them."""
    rows = [[i] * (1 + i % 7) for i in range(30)]
    runner = runner_of(FakeEngine(model))
    answered = submit(runner, *rows).future.result(LIMIT_S)
    alone = FakeEngine(model).forward([row_of(ids, "topic") for ids in rows])
    assert not [error for error in alone if isinstance(error, GlossaError)]
    assert torch.equal(*(torch.cat([r["logits"] for r in results]) for results in (answered.results, alone)))  # type: ignore[index] # no errors, as asserted
    assert runner.drain(LIMIT_S)


def test_forward_runs_on_the_engine_thread_alone(model: Model) -> None:
    """Passes and probes run on one thread, which is not the caller's."""
    engine = GatedEngine(model)
    runner = runner_of(engine)
    submit(runner, [1]).future.result(LIMIT_S)
    runner.probe().result(LIMIT_S)
    assert engine.threads == {"engine"}
    assert runner.drain(LIMIT_S)


def test_a_bad_row_fails_its_own_call_only(model: Model) -> None:
    """Two calls share a batch. The call with a refused row ends with that error; the other is answered."""
    engine = GatedFaultyEngine(model)
    runner = runner_of(engine)
    engine.shut()
    first = submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    bad, good = submit(runner, [2], [BAD]), submit(runner, [3], [4])
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
    runner = runner_of(engine)
    engine.shut()
    pending_calls = [submit(runner, [1])]
    assert engine.entered.wait(LIMIT_S)
    pending_calls += [submit(runner, [2], [3]), submit(runner, [POISON]), submit(runner, [4]), submit(runner, [5])]
    engine.gate.set()
    errors = [pending_call.future.exception(LIMIT_S) for pending_call in pending_calls]
    assert [type(error) for error in errors] == [type(None), type(None), GlossaError, type(None), type(None)]
    assert runner.counts.n_broken_passes > 0
    assert runner.drain(LIMIT_S)


def test_expired_rows_never_run(model: Model) -> None:
    """A call whose deadline passes in the queue ends with DeadlineExceeded, and its rows reach no pass."""
    engine = GatedEngine(model)
    runner = runner_of(engine)
    engine.shut()
    first = submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    late = submit(runner, [2], deadline_s=time.monotonic())
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
    runner = runner_of(engine)
    engine.shut()
    first = submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    gone = submit(runner, [2, 2, 2])
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
    runner = runner_of(engine, max_backlog_tokens=10)
    engine.shut()
    first = submit(runner, [1] * 6)
    with pytest.raises(Overloaded) as refused:
        submit(runner, [2] * 6)
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 0
    engine.gate.set()
    first.future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)


def test_drain_finishes_what_was_admitted(model: Model) -> None:
    """While draining, new calls and probes are refused, and admitted calls are answered."""
    engine = GatedEngine(model)
    runner = runner_of(engine)
    engine.shut()
    first = submit(runner, [1])
    assert engine.entered.wait(LIMIT_S)
    second = submit(runner, [2])
    assert not runner.drain(0.0)
    with pytest.raises(Unavailable):
        submit(runner, [3])
    with pytest.raises(Unavailable):
        runner.probe().result(LIMIT_S)
    engine.gate.set()
    assert runner.drain(LIMIT_S)
    assert first.future.result(0)
    assert second.future.result(0)


def test_a_probe_goes_before_waiting_batches(model: Model) -> None:
    """With a long queue, the probe runs after the current pass, not after the queue."""
    engine = GatedEngine(model)
    runner = runner_of(engine, token_budget=8)
    engine.shut()
    pending_calls = [submit(runner, [1] * 8)]
    assert engine.entered.wait(LIMIT_S)
    pending_calls += [submit(runner, [2] * 8) for _ in range(9)]
    probe = runner.probe()
    engine.gate.set()
    probe.result(LIMIT_S)
    wait([pending_call.future for pending_call in pending_calls], LIMIT_S)
    assert engine.passes[1] == [[0]]
    assert runner.drain(LIMIT_S)


def test_a_dead_engine_fails_its_probe_and_is_not_fresh(model: Model) -> None:
    """A broken pass does not count as a success, and its thread goes on."""
    engine = FaultyEngine(model)
    runner = runner_of(engine)
    engine.is_dead = True
    assert isinstance(submit(runner, [1]).future.exception(LIMIT_S), GlossaError)
    assert not runner.is_fresh(FOREVER_S)
    with pytest.raises(GlossaError, match="RuntimeError"):
        runner.probe().result(LIMIT_S)
    engine.is_dead = False
    runner.probe().result(LIMIT_S)
    assert runner.is_fresh(FOREVER_S)
    assert runner.drain(LIMIT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_thread_that_is_gone(model: Model) -> None:
    """When an error ends the thread itself, all its calls end, and new ones are refused."""
    runner = Runner(FakeEngine(model), BrokenScheduler(token_budget=2, max_backlog_tokens=99), row_of([0], "topic"))
    with pytest.raises(Unavailable):
        submit(runner, [1], [2], [3]).future.result(LIMIT_S)
    assert runner.drain(LIMIT_S)
    with pytest.raises(Unavailable):
        submit(runner, [4])
    with pytest.raises(Unavailable):
        runner.probe().result(LIMIT_S)


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
    runner = runner_of(FaultyEngine(model, n_parallel=n_parallel), token_budget=16)
    pending_calls = []
    for rows, priority, tenant, is_cancelled in calls:
        try:
            pending_call = submit(runner, *rows, priority=priority, tenant=tenant)
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
