"""What the scheduler lets in between the layers of a long pass: who, how much, and when nobody."""

from __future__ import annotations

import pytest

from serve.engine.parallel_passes import MIN_PASS_TOKENS
from tests.unit.serve.scheduling.traffic import call, lengths, passes, scheduler


def test_a_long_pass_lets_short_rows_in() -> None:
    """Between its layers, at most the batch bound at a time, until they have had what it had left to wait."""
    rows = scheduler(token_budget=100, slack=0.5)
    rows.admit(call(1, 300), 0.0)
    host = rows.next_batch(0.0)
    assert host.interleaved_tokens == 150
    rows.admit(call(2, 40, 40, 40, 40, 40), 0.0)
    found = [lengths(rows.next_interleaved(host, 0.0).items) for _ in range(4)]
    assert (found, len(rows)) == ([[40, 40], [40], [], []], 2)
    rows.done(host, 0.1)
    assert rows.next_interleaved(host, 0.0).items == ()


def test_what_has_waited_for_its_slack_lets_nobody_in() -> None:
    """Of the tokens that may go before a long row, those that came while it waited are gone."""
    rows = scheduler(token_budget=100, slack=0.5)
    rows.admit(call(1, 100, 300), 0.0)
    rows.admit(call(2, 100, 20), 0.0)
    hosts = [batch for batch in passes(rows, 4) if batch.n_tokens == 300]
    assert [host.interleaved_tokens for host in hosts] == [30]


def test_nobody_is_let_in_before_who_is_next() -> None:
    """A long row that is next is not overtaken by another of its tenant by way of a pass that runs."""
    rows = scheduler(token_budget=100, slack=0.5)
    rows.admit(call(1, 300), 0.0)
    host = rows.next_batch(0.0)
    rows.admit(call(2, 101), 0.0)
    rows.admit(call(3, 100), 0.0)
    assert rows.next_interleaved(host, 0.0).items == ()
    assert [lengths(batch.items) for batch in passes(rows, 2)] == [[101], [100]]


@pytest.mark.parametrize(("deadline_s", "n_parallel", "n_guests"), [(1.9, 1, 0), (2.2, 1, 1), (3.9, 2, 0), (4.2, 2, 1)])
def test_a_pass_that_may_be_late_lets_nobody_in(deadline_s: float, n_parallel: int, n_guests: int) -> None:
    """A row's answer is of no use behind its deadline: it keeps the time of two passes, longer ones on a lane."""
    rows = scheduler(token_budget=100)
    for _ in range(50):
        rows.admit(call(1, 100), 0.0)
        rows.done(rows.next_batch(0.0), 0.1)
    rows.admit(call(2, 1000, deadline_s=deadline_s), 0.0)
    host = rows.next_batch(0.0, n_parallel=n_parallel)
    rows.admit(call(3, 5), 0.0)
    assert len(rows.next_interleaved(host, 0.0).items) == n_guests


def test_small_passes_between_layers_cost_what_they_take() -> None:
    """One token at a time reads all weights each time: it counts as the fewest tokens that are worth a pass."""
    rows = scheduler(token_budget=100, slack=0.5)
    rows.admit(call(1, 3 * 2 * MIN_PASS_TOKENS), 0.0)
    host = rows.next_batch(0.0)
    n_guests = 0
    for key in range(9):
        rows.admit(call(2 + key, 1), 0.0)
        n_guests += len(rows.next_interleaved(host, 0.0).items)
    assert (host.interleaved_tokens, n_guests) == (3 * MIN_PASS_TOKENS, 3)


def test_what_is_long_is_a_matter_of_milliseconds() -> None:
    """However deep a long queue makes passes, a row over the plain bound lets in passes within it."""
    rows = scheduler(token_budget=4096, max_batch_ms=60.0)  # 1,000 tokens a second are assumed: 60 a pass
    rows.admit(call(1, 400), 0.0)
    host = rows.next_batch(0.0)
    rows.admit(call(2, *[20] * 40), 0.0)
    assert rows.budget_tokens > 100
    assert host.interleaved_tokens == 1600
    assert lengths(rows.next_interleaved(host, 0.0).items) == [20] * 3


def test_only_the_first_that_does_not_fit_is_next() -> None:
    """A row of another tenant that fits no better keeps its place: short ones of its tenant still go before it."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 60, 300), 0.0)
    rows.admit(call(2, 300, tenant="b"), 0.0)
    assert lengths(rows.next_batch(0.0).items) == [60]
    host = rows.next_batch(0.0)
    assert host.items[0].tenant == "b"
    rows.admit(call(3, 5), 0.0)
    assert lengths(rows.next_interleaved(host, 0.0).items) == [5]


def test_batch_rows_are_not_let_in() -> None:
    """They are in no hurry."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 300), 0.0)
    host = rows.next_batch(0.0)
    rows.admit(call(2, 5, priority="batch"), 0.0)
    assert rows.next_interleaved(host, 0.0).items == ()


def test_what_is_let_in_reports_what_expired() -> None:
    """A row whose time is over while a long pass runs is not let in."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 300), 0.0)
    host = rows.next_batch(0.0)
    rows.admit(call(2, 5, deadline_s=1.0), 0.0)
    interleaved = rows.next_interleaved(host, 1.0)
    assert (interleaved.items, [job.key for job in interleaved.expired]) == ((), [2])


def test_only_a_row_over_the_bound_lets_others_in() -> None:
    """A pass within the bound is over soon enough."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, 100), 0.0)
    assert rows.next_batch(0.0).interleaved_tokens == 0
    rows.admit(call(2, 60, 60, 60), 0.0)
    assert rows.next_batch(0.0).interleaved_tokens == 0
