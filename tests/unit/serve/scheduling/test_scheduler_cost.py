"""What the scheduler costs: its work and memory do not grow with the number of waiting rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from serve.scheduling.scheduler import Scheduler
from tests.unit.serve.scheduling.traffic import Job, call, scheduler


def test_the_longest_queue_is_not_searched_for_what_fits() -> None:
    """A pass with room left looks at the next rows of a few tenants, not of all."""
    few, many = (scheduler(token_budget=100, max_backlog_tokens=1_000_000, slack=0.0) for _ in range(2))
    for rows, n_tenants in ((few, 50), (many, 2000)):
        for number in range(n_tenants):
            rows.admit(call(number, 60, tenant=str(number)), 0.0)
    steps = [_count_calls(partial(rows.next_batch, 0.0)) for rows in (few, many)]
    assert steps[1] <= 1.2 * steps[0]


def _count_calls(work: Callable[[], object]) -> int:
    n_calls = 0

    def count(*_: object) -> None:
        nonlocal n_calls
        n_calls += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return n_calls


def _loaded(n_rows: int) -> Scheduler[Job]:
    rows = scheduler(token_budget=1000, max_backlog_tokens=10_000_000)
    for key in range(n_rows):
        rows.admit([Job(10, key, tenant=f"t{key % 5}", deadline_s=1e6 + key)], 0.0)
    return rows


def test_a_batch_costs_the_same_however_many_wait() -> None:
    """Forming a batch from 10,000 rows takes no more steps than from 500. Nor does cancelling a row."""
    few, many = _loaded(500), _loaded(10_000)
    steps = [_count_calls(partial(rows.next_batch, 0.0)) for rows in (few, many)]
    assert steps[1] <= 1.2 * steps[0]
    steps = [_count_calls(partial(rows.cancel, 400)) for rows in (few, many)]
    assert steps[1] <= 1.2 * steps[0]


def test_rows_that_left_do_not_pile_up_behind_far_deadlines() -> None:
    """Deadlines of rows that are long gone are forgotten."""
    rows = scheduler()
    for key in range(1000):
        rows.admit(call(key, 10, deadline_s=1e9), 0.0)
        rows.cancel(key)
    assert len(rows._with_deadline._entries) < 100
