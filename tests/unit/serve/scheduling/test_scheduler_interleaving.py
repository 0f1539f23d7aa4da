"""Which rows the scheduler interleaves with a long pass, how many, and when none."""

from __future__ import annotations

import pytest

from serve.engine.parallel_passes import MIN_PASS_TOKENS
from tests.unit.serve.scheduling.traffic import call, lengths, passes, scheduler


def test_short_rows_run_between_the_layers_of_a_long_pass() -> None:
    """At most the batch bound at a time, and only as many tokens as the long row's slack allows."""
    rows = scheduler(token_budget=100, slack_factor=0.5)
    rows.admit(call(1, 300), 0.0)
    long_batch = rows.next_batch(0.0)
    assert long_batch.interleaved_tokens == 150
    rows.admit(call(2, 40, 40, 40, 40, 40), 0.0)
    found = [lengths(rows.next_interleaved(long_batch, 0.0).items) for _ in range(4)]
    assert (found, len(rows)) == ([[40, 40], [40], [], []], 2)
    rows.done(long_batch, 0.1)
    assert rows.next_interleaved(long_batch, 0.0).items == ()


def test_slack_that_was_used_while_waiting_is_gone() -> None:
    """Tokens that came while a long row waited count against the tokens that may still go before it."""
    rows = scheduler(token_budget=100, slack_factor=0.5)
    rows.admit(call(1, 100, 300), 0.0)
    rows.admit(call(2, 100, 20), 0.0)
    long_batches = [batch for batch in passes(rows, 4) if batch.n_tokens == 300]
    assert [long_batch.interleaved_tokens for long_batch in long_batches] == [30]
    rows.admit(call(3, 100, 300, 300), 0.0)
    rows.admit(call(4, 100, 200), 0.0)
    used_up = [batch for batch in passes(rows, 6) if batch.n_tokens == 300 and not batch.interleaved_tokens]
    assert used_up
    assert all(batch.is_long for batch in used_up)  # its thread is still seen to make progress


def test_no_row_is_interleaved_before_the_next_one() -> None:
    """A long row that is next is not overtaken by a row of its tenant through a running pass."""
    rows = scheduler(token_budget=100, slack_factor=0.5)
    rows.admit(call(1, 300), 0.0)
    long_batch = rows.next_batch(0.0)
    rows.admit(call(2, 101), 0.0)
    rows.admit(call(3, 100), 0.0)
    assert rows.next_interleaved(long_batch, 0.0).items == ()
    assert [lengths(batch.items) for batch in passes(rows, 2)] == [[101], [100]]


@pytest.mark.parametrize(
    ("deadline_s", "n_parallel", "n_interleaved"), [(1.9, 1, 0), (2.2, 1, 1), (3.9, 2, 0), (4.2, 2, 1)]
)
def test_a_pass_that_may_miss_its_deadline_interleaves_nothing(
    deadline_s: float, n_parallel: int, n_interleaved: int
) -> None:
    """A running pass keeps the time of two passes to its deadline. A pass of one core is slower, so it keeps more."""
    rows = scheduler(token_budget=100)
    for _ in range(50):
        rows.admit(call(1, 100), 0.0)
        rows.done(rows.next_batch(0.0), 0.1)
    rows.admit(call(2, 1000, deadline_s=deadline_s), 0.0)
    long_batch = rows.next_batch(0.0, n_parallel=n_parallel)
    rows.admit(call(3, 5), 0.0)
    assert len(rows.next_interleaved(long_batch, 0.0).items) == n_interleaved


def test_a_small_interleaved_pass_counts_as_a_full_one() -> None:
    """A pass of one token reads all weights too. So it counts as the fewest tokens that are worth a pass."""
    rows = scheduler(token_budget=100, slack_factor=0.5)
    rows.admit(call(1, 3 * 2 * MIN_PASS_TOKENS), 0.0)
    long_batch = rows.next_batch(0.0)
    n_interleaved = 0
    for key in range(9):
        rows.admit(call(2 + key, 1), 0.0)
        n_interleaved += len(rows.next_interleaved(long_batch, 0.0).items)
    assert (long_batch.interleaved_tokens, n_interleaved) == (3 * MIN_PASS_TOKENS, 3)


def test_a_row_is_long_by_the_bound_in_milliseconds() -> None:
    """A long queue allows longer passes. Still a row over the plain bound is long, and small passes are interleaved."""
    rows = scheduler(token_budget=4096, max_batch_ms=60.0)  # 1,000 tokens a second are assumed: 60 a pass
    rows.admit(call(1, 400), 0.0)
    long_batch = rows.next_batch(0.0)
    rows.admit(call(2, *[20] * 40), 0.0)
    assert rows.pass_bound_tokens > 100
    assert long_batch.interleaved_tokens == 1600
    assert lengths(rows.next_interleaved(long_batch, 0.0).items) == [20] * 3


def test_only_the_first_that_does_not_fit_is_next() -> None:
    """A row of another tenant that does not fit either keeps its place: short rows of its tenant still go before it."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 60, 300), 0.0)
    rows.admit(call(2, 300, tenant="b"), 0.0)
    assert lengths(rows.next_batch(0.0).items) == [60]
    long_batch = rows.next_batch(0.0)
    assert long_batch.items[0].tenant == "b"
    rows.admit(call(3, 5), 0.0)
    assert lengths(rows.next_interleaved(long_batch, 0.0).items) == [5]


def test_batch_rows_are_not_interleaved() -> None:
    """Rows of class batch are in no hurry."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 300), 0.0)
    long_batch = rows.next_batch(0.0)
    rows.admit(call(2, 5, priority="batch"), 0.0)
    assert rows.next_interleaved(long_batch, 0.0).items == ()


def test_interleaving_reports_expired_rows() -> None:
    """A row that expires while a long pass runs is not interleaved."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 300), 0.0)
    long_batch = rows.next_batch(0.0)
    rows.admit(call(2, 5, deadline_s=1.0), 0.0)
    interleaved = rows.next_interleaved(long_batch, 1.0)
    assert (interleaved.items, [job.key for job in interleaved.expired]) == ((), [2])


def test_only_a_row_over_the_bound_allows_interleaving() -> None:
    """A pass within the bound is over soon enough."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 100), 0.0)
    assert rows.next_batch(0.0).interleaved_tokens == 0
    rows.admit(call(2, 60, 60, 60), 0.0)
    assert rows.next_batch(0.0).interleaved_tokens == 0
