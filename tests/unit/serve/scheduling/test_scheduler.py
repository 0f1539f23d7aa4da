"""The scheduler by example: which rows go together, which go first, which leave, and what it costs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import pytest

from serve.scheduling.scheduler import Scheduler
from tests.unit.serve.scheduling.traffic import Job, call, lengths, passes, scheduler


def test_an_idle_engine_gets_what_there_is_at_once() -> None:
    """There is no waiting window: one row is a batch."""
    rows = scheduler()
    rows.admit(call(1, 7), 0.0)
    batch = rows.next_batch(0.0)
    assert (batch.items, batch.expired, batch.n_tokens) == ((Job(7, 1),), (), 7)
    assert len(rows) == 0


def test_nothing_to_do_is_an_empty_batch() -> None:
    """An empty batch needs no `done`."""
    batch = scheduler().next_batch(0.0)
    assert (batch.items, batch.expired, batch.n_tokens) == ((), (), 0)


def test_a_batch_keeps_to_the_token_budget() -> None:
    """What does not fit goes in the next batch."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, *[30] * 7), 0.0)
    assert [len(batch.items) for batch in passes(rows, 3)] == [3, 3, 1]
    rows.admit(call(2, 50, 51), 0.0)
    assert [batch.n_tokens for batch in passes(rows, 2)] == [50, 51]
    rows.admit(call(3, 50, 50), 0.0)
    assert [batch.n_tokens for batch in passes(rows, 1)] == [100]


def test_a_row_over_the_budget_goes_alone() -> None:
    """At least one row goes, whatever the bound."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 300, 5, 5), 0.0)
    assert [lengths(batch.items) for batch in passes(rows, 2)] == [[5, 5], [300]]


def test_short_rows_overtake_long_ones() -> None:
    """Rows that come after a long row go first, while they hold fewer than `slack` times its tokens."""
    rows = scheduler(token_budget=100, slack_factor=2.0)
    rows.admit(call(1, 90), 0.0)
    rows.admit(call(2, *[30] * 9), 0.0)
    assert [lengths(batch.items) for batch in passes(rows, 4)] == [[30] * 3, [90], [30] * 3, [30] * 3]


def test_without_slack_rows_go_as_they_come() -> None:
    """Without slack, rows of all sizes go in the order of arrival."""
    rows = scheduler(token_budget=100, slack_factor=0.0)
    rows.admit(call(1, 90), 0.0)
    rows.admit(call(2, 30, 60, 30), 0.0)
    assert [lengths(batch.items) for batch in passes(rows, 3)] == [[90], [30, 60], [30]]


def test_of_equal_rows_the_older_one_goes_first() -> None:
    """Slack changes the order only of rows of different sizes."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, *[50] * 6), 0.0)
    assert [[job.index for job in batch.items] for batch in passes(rows, 3)] == [[0, 1], [2, 3], [4, 5]]


def test_a_row_that_did_not_fit_leads_the_next_pass() -> None:
    """However many smaller rows come meanwhile that are due before it."""
    rows = scheduler(token_budget=100, slack_factor=1.0)
    rows.admit(call(1, 60, 70, 20), 0.0)
    first = rows.next_batch(0.0)
    rows.admit(call(2, *[1] * 50), 0.0)
    second = rows.next_batch(0.0)
    assert (lengths(first.items), lengths(second.items)) == ([20, 60], [1] * 30 + [70])


def test_what_is_left_of_a_pass_goes_to_other_tenants() -> None:
    """Rows of a tenant wait behind its row that does not fit. Otherwise they would go before it for ever."""
    rows = scheduler(token_budget=100, slack_factor=0.0)
    rows.admit(call(1, 60, 70, 20), 0.0)
    rows.admit(call(2, 30, tenant="b"), 0.0)
    assert [lengths(batch.items) for batch in passes(rows, 2)] == [[30, 60], [20, 70]]


def test_what_does_not_fit_waits_with_all_its_tokens() -> None:
    """Tokens of rows that a pass leaves behind still count as waiting. Parallel passes and bounds depend on them."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 60, 60, 45, 40), 0.0)
    found = []
    while rows.waiting_tokens:
        batch = rows.next_batch(0.0)
        rows.done(batch, 0.1)
        found.append((lengths(batch.items), rows.waiting_tokens))
    assert found == [([60], 145), ([45], 100), ([40, 60], 0)]


def test_a_following_class_does_not_choose_its_next() -> None:
    """A row that did not fit behind rows of the other class still goes by its deadline."""
    rows = scheduler(token_budget=100, slack_factor=1.0)
    rows.admit(call(1, 60), 0.0)
    rows.admit(call(2, 50, priority="batch"), 0.0)
    assert lengths(rows.next_batch(0.0).items) == [60]
    rows.admit(call(3, 5, priority="batch"), 0.0)
    rows.admit(call(4, 60), 0.0)
    assert lengths(rows.next_batch(0.0).items) == [5, 60]


def test_batch_rows_fill_only_what_is_left() -> None:
    """A batch row that does not fit beside the interactive row waits."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 51, priority="batch"), 0.0)
    rows.admit(call(2, 50), 0.0)
    assert [batch.n_tokens for batch in passes(rows, 2)] == [50, 51]


def test_interactive_leads_and_batch_fills() -> None:
    """The interactive row goes first; batch rows take what is left."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, *[40] * 5, priority="batch"), 0.0)
    rows.admit(call(2, 50), 0.0)
    batch = rows.next_batch(0.0)
    assert [(job.key, job.n_tokens) for job in batch.items] == [(2, 50), (1, 40)]


def test_batch_leads_every_eighth_pass() -> None:
    """Interactive rows that fill every pass leave one pass in eight to batch rows."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, *[100] * 4, priority="batch"), 0.0)
    rows.admit(call(2, *[100] * 40), 0.0)
    served = [batch.items[0].priority for batch in passes(rows, 24)]
    assert [number for number, priority in enumerate(served, 1) if priority == "batch"] == [8, 16, 24]


def test_expired_rows_leave_before_the_pass() -> None:
    """A deadline at or before now has passed. All such rows are returned as expired, wherever they waited."""
    rows = scheduler(token_budget=10)
    rows.admit(call(1, *[10] * 5, deadline_s=5.0), 0.0)
    rows.admit(call(2, 10, deadline_s=6.0), 0.0)
    first = rows.next_batch(4.0)
    second = rows.next_batch(5.0)
    assert (len(first.items), first.expired) == (1, ())
    assert [job.key for job in second.items] == [2]
    assert sorted(job.index for job in second.expired) == [1, 2, 3, 4]


def test_expired_rows_make_room_and_are_still_reported() -> None:
    """Admission drops them first. The next batch returns them even when no other row waits."""
    rows = scheduler(max_backlog_tokens=100)
    rows.admit(call(1, 100, deadline_s=5.0), 0.0)
    rows.admit(call(2, 100, deadline_s=9.0), 5.0)
    assert len(rows) == 2
    batch = rows.next_batch(9.0)
    assert (batch.items, sorted(job.key for job in batch.expired)) == ((), [1, 2])
    assert len(rows) == rows.backlog_tokens == 0


def test_cancelled_rows_leave() -> None:
    """Cancel returns the waiting rows. It does not touch running rows, and ignores an unknown key."""
    rows = scheduler(token_budget=10)
    rows.admit(call(1, 10, 10), 0.0)
    rows.admit(call(2, 10), 0.0)
    running = rows.next_batch(0.0)
    assert [job.index for job in running.items] == [0]
    assert [job.index for job in rows.cancel(1)] == [1]
    assert rows.cancel(1) == rows.cancel("x") == ()
    assert rows.backlog_tokens == 20
    rows.done(running, 0.1)
    assert [batch.items for batch in passes(rows, 2)] == [(Job(10, 2),), ()]


def test_a_row_that_did_not_fit_can_be_cancelled() -> None:
    """It keeps no place: the rows behind it go."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 60), 0.0)
    rows.admit(call(2, 60), 0.0)
    rows.admit(call(3, 90, 90), 0.0)
    rows.done(rows.next_batch(0.0), 0.1)
    assert [job.key for job in rows.cancel(2)] == [2]
    assert [lengths(batch.items) for batch in passes(rows, 3)] == [[90], [90], []]


def test_a_failed_pass_frees_its_tokens_and_teaches_nothing() -> None:
    """None instead of seconds leaves the measured speed as it was."""
    rows = scheduler()
    rows.admit(call(1, 50), 0.0)
    before = rows.tokens_per_s
    batch = rows.next_batch(0.0)
    assert rows.backlog_tokens == 50
    rows.done(batch, None)
    assert (rows.backlog_tokens, rows.tokens_per_s) == (0, before)


def test_a_batch_is_done_once() -> None:
    """Counting it twice would admit too much."""
    rows = scheduler()
    rows.admit(call(1, 50), 0.0)
    batch = rows.next_batch(0.0)
    rows.done(batch, 0.1)
    with pytest.raises(KeyError):
        rows.done(batch, 0.1)


def test_a_row_without_tokens_is_a_bug() -> None:
    """It would cost nothing and have no bound."""
    with pytest.raises(ValueError, match="without tokens"):
        scheduler().admit(call(1, 5, 0), 0.0)


def test_a_prefetched_batch_runs_beside_the_current_one() -> None:
    """Batches may be done in any order."""
    rows = scheduler(token_budget=10)
    rows.admit(call(1, 10, 10), 0.0)
    first, second = rows.next_batch(0.0), rows.next_batch(0.0)
    rows.done(second, 0.1)
    assert rows.backlog_tokens == 10
    rows.done(first, 0.1)
    assert rows.backlog_tokens == 0


def test_the_longest_queue_is_not_searched_for_what_fits() -> None:
    """A pass with room left looks at the next rows of a few tenants, not of all."""
    few, many = (scheduler(token_budget=100, max_backlog_tokens=1_000_000, slack_factor=0.0) for _ in range(2))
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
