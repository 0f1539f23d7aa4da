"""Which calls the scheduler admits, and what a refusal says."""

from __future__ import annotations

import pytest

from shared.errors import Overloaded, TooLarge
from tests.unit.serve.scheduling.traffic import Job, call, passes, scheduler


def test_a_call_is_admitted_whole_or_not_at_all() -> None:
    """A refused call leaves nothing behind."""
    rows = scheduler(max_backlog_tokens=100)
    rows.admit(call(1, 30), 0.0)
    with pytest.raises(Overloaded):
        rows.admit(call(2, 30, 50), 0.0)
    assert (len(rows), rows.backlog_tokens) == (1, 30)
    assert rows.cancel(2) == ()


def test_retry_after_is_the_backlog_at_the_measured_speed() -> None:
    """Waiting and running tokens, divided by the measured tokens per second."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1000)
    rows.admit(call(1, *[100] * 7), 0.0)
    for _ in passes(rows, 6, seconds=lambda n_tokens: n_tokens / 50):
        pass
    rows.admit(call(2, *[100] * 9, tenant="b"), 0.0)
    rows.next_batch(0.0)
    with pytest.raises(Overloaded, match="got a call of 100 tokens behind 1000, at most 1000") as caught:
        rows.admit(call(3, 100, tenant="c"), 0.0)
    assert caught.value.retry_after_s == pytest.approx(1000 / rows.tokens_per_s)
    assert caught.value.retry_after_s is not None
    assert 10 < caught.value.retry_after_s <= 20


def test_a_call_over_the_whole_backlog_is_too_large() -> None:
    """It could wait for ever, so it is no 429. A call of exactly the bound is admitted when nothing else is."""
    rows = scheduler(max_backlog_tokens=100)
    with pytest.raises(TooLarge, match="got a call of 101 tokens, at most 100"):
        rows.admit(call(1, 50, 51), 0.0)
    rows.admit(call(2, 50, 50), 0.0)


@pytest.mark.parametrize(
    ("holding", "refused", "taken"),
    [
        (call(1, *[10] * 7), call(2, 10), call(2, 10, tenant="b")),
        (call(1, *[10] * 7, priority="batch"), call(2, 10, tenant="b", priority="batch"), call(2, 10, tenant="b")),
    ],
    ids=["one tenant", "all batch rows"],
)
def test_nobody_holds_the_whole_backlog(holding: list[Job], refused: list[Job], taken: list[Job]) -> None:
    """A quarter stays free for other tenants, and for interactive rows."""
    rows = scheduler(max_backlog_tokens=100)
    rows.admit(holding, 0.0)
    with pytest.raises(Overloaded):
        rows.admit(refused, 0.0)
    rows.admit(taken, 0.0)


@pytest.mark.parametrize(
    ("priority", "tenant", "message"),
    [
        ("interactive", "a", "got a call of 10 tokens behind 70 of the same tenant, which may hold at most 75"),
        ("batch", "b", "got a call of 10 tokens behind 70 of all batch calls, which may hold at most 75"),
    ],
)
def test_a_full_share_says_its_own_bound(priority: str, tenant: str, message: str) -> None:
    """A refusal names what its holder holds and may hold, not what others hold or the whole bound."""
    rows = scheduler(max_backlog_tokens=100)
    rows.admit(call(1, *[10] * 7, priority=priority), 0.0)
    rows.admit(call(2, 5, tenant="c"), 0.0)
    with pytest.raises(Overloaded) as caught:
        rows.admit(call(3, 10, tenant=tenant, priority=priority), 0.0)
    assert caught.value.message == message
