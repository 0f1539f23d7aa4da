"""Rows that re-enter after a pass: deadline, cancellation, room, and what is learned from their passes."""

from __future__ import annotations

import pytest

from serve.scheduling.scheduler import Scheduler
from shared.errors import Overloaded, TooLarge
from tests.unit.serve.scheduling.traffic import Job, call, scheduler


def _pass(rows: Scheduler[Job], now_s: float = 0.0) -> tuple[Job, ...]:
    """Run a pass. All its rows that have steps left re-enter."""
    batch = rows.next_batch(now_s)
    if batch.items:
        rows.done(batch, 0.01)
    rows.reenter([job.again() for job in batch.items if job.n_more])
    return tuple(batch.items)


def test_a_row_passes_as_often_as_it_re_enters() -> None:
    """Three steps after the first are four passes. Then the row is gone."""
    rows = scheduler()
    rows.admit(call(1, 10, n_more=3), 0.0)
    assert [job.n_tokens for _ in range(6) for job in _pass(rows)] == [10, 1, 1, 1]
    assert (len(rows), rows.backlog_tokens) == (0, 0)


def test_resumed_rows_share_passes_with_new_ones() -> None:
    """A pass holds the next tokens of generating rows beside whole rows of other calls."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 10, 10, n_more=5), 0.0)
    _pass(rows)
    rows.admit(call(2, 40, 40), 0.0)
    assert sorted((job.key, job.n_tokens) for job in _pass(rows)) == [(1, 1), (1, 1), (2, 40), (2, 40)]


def test_the_deadline_holds_at_each_step() -> None:
    """A row whose deadline passes after a pass expires and does not pass again."""
    rows = scheduler()
    rows.admit(call(1, 10, n_more=9, deadline_s=5.0), 0.0)
    assert _pass(rows, 1.0)
    assert _pass(rows, 4.0)
    batch = rows.next_batch(5.0)
    assert ([job.key for job in batch.expired], batch.items, rows.backlog_tokens) == ([1], (), 0)


def test_cancel_removes_resumed_rows() -> None:
    """All rows of a call leave, resumed rows too, and free the room they had."""
    rows = scheduler(token_budget=20)
    rows.admit(call(1, 20, 20, n_more=9, cache_bytes=7), 0.0)
    _pass(rows)
    assert sorted(job.n_tokens for job in rows.cancel(1)) == [1, 20]
    assert (len(rows), rows.backlog_tokens, rows.kv_cache_bytes) == (0, 0, 0)


def test_admission_counts_all_a_row_may_come_to() -> None:
    """Prompt and new tokens count from start to end, however far the row has come."""
    rows = scheduler(max_backlog_tokens=100)
    rows.admit(call(1, 10, n_more=80), 0.0)
    _pass(rows)
    assert rows.backlog_tokens == 90
    with pytest.raises(Overloaded):
        rows.admit(call(2, 11, tenant="b"), 0.0)
    with pytest.raises(TooLarge, match=r"got a call of 101 tokens, at most 100"):
        rows.admit(call(2, 1, n_more=100), 0.0)


def test_admission_counts_the_bytes_of_caches() -> None:
    """A full cache is a 429 with the seconds to wait. A call that never fits is a 413."""
    rows = scheduler(max_cache_bytes=100)
    rows.admit(call(1, 10, n_more=5, cache_bytes=60), 0.0)
    with pytest.raises(Overloaded, match=r"keeps 60 bytes of keys and values beside 60, at most 100") as refused:
        rows.admit(call(2, 10, n_more=5, cache_bytes=60), 0.0)
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 0
    with pytest.raises(TooLarge, match=r"keeps 120 bytes of keys and values, at most 100"):
        rows.admit(call(2, 10, 10, n_more=5, cache_bytes=60), 0.0)
    rows.admit(call(3, 10), 0.0)  # rows without a cache are still admitted


def test_passes_of_single_tokens_do_not_shrink_the_budget() -> None:
    """A long stretch of generation says nothing about how many tokens a pass can hold."""
    rows = scheduler(token_budget=4096, max_batch_ms=60.0)
    rows.admit(call(1, 10, n_more=200), 0.0)
    _pass(rows)
    budget_tokens, tokens_per_s = rows.pass_bound_tokens, rows.tokens_per_s
    for _ in range(100):
        batch = rows.next_batch(0.0)
        rows.done(batch, 0.02)
        rows.reenter([job.again() for job in batch.items])
    assert (rows.pass_bound_tokens, rows.tokens_per_s) == (budget_tokens, tokens_per_s)
