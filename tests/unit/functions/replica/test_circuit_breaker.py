"""Circuit breaker and retry budget, with a clock that only the tests move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.replica.circuit_breaker import CircuitBreaker, RetryBudget, State
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, in_turn
from functions.replica.transport import NotConnected, Reply, ReplyLost
from shared.errors import GlossaError, Unavailable
from shared.messages import InferCall, Tensor


def _opened(clock: FakeClock, changes: list[State] | None = None) -> CircuitBreaker:
    breaker = CircuitBreaker(5, 10.0, clock=clock, on_change=(changes if changes is not None else []).append)
    for _ in range(5):
        breaker.failure(breaker.admit())
    return breaker


def test_five_failures_in_a_row_open_it() -> None:
    """The fifth failure opens the circuit breaker. The error says when a retry may succeed."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.pause(4.0)
    with pytest.raises(Unavailable, match="failed 5 times in a row") as refused:
        breaker.admit()
    assert refused.value.retry_after_s == 6.0


def test_a_success_between_failures_keeps_it_closed() -> None:
    """Only failures in a row count."""
    breaker = CircuitBreaker(2, 10.0, clock=FakeClock())
    for _ in range(5):
        breaker.failure(breaker.admit())
        breaker.success(breaker.admit())
    assert breaker.state == "closed"


def test_one_probe_after_recovery() -> None:
    """While half-open, one call passes. A second one is refused until the first is answered."""
    clock, changes = FakeClock(), list[State]()
    breaker = _opened(clock, changes)
    clock.pause(10.0)
    probe = breaker.admit()
    with pytest.raises(Unavailable):
        breaker.admit()
    breaker.success(probe)
    breaker.admit()
    assert changes == ["open", "half-open", "closed"]


def test_a_failed_probe_opens_again() -> None:
    """While half-open, one failure opens it again, and the wait starts anew."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.pause(10.0)
    breaker.failure(breaker.admit())
    clock.pause(9.9)
    with pytest.raises(Unavailable):
        breaker.admit()


def test_after_a_released_probe_another_may_pass() -> None:
    """A probe that showed nothing about the server leaves the circuit breaker half-open."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.pause(10.0)
    breaker.release(breaker.admit())
    breaker.admit()
    assert breaker.state == "half-open"


@pytest.mark.parametrize("answer", [CircuitBreaker.success, CircuitBreaker.failure, CircuitBreaker.release])
@pytest.mark.parametrize("after_s", [0.0, 10.0])
def test_results_of_an_older_generation_are_ignored(
    answer: Callable[[CircuitBreaker, int], None], after_s: float
) -> None:
    """The result of a call from before the opening neither closes the circuit breaker nor ends a probe."""
    clock = FakeClock()
    breaker = CircuitBreaker(5, 10.0, clock=clock)
    stale = breaker.admit()
    for _ in range(5):
        breaker.failure(breaker.admit())
    clock.pause(after_s)
    probe = breaker.admit() if after_s else None
    before = breaker.state
    answer(breaker, stale)
    assert breaker.state == before
    with pytest.raises(Unavailable):
        breaker.admit()
    if probe is not None:
        breaker.success(probe)
        assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(NotConnected("x"), "cannot be reached"), (ReplyLost("x"), "broke"), (Reply(503, {}, b""), "takes no requests")],
    ids=repr,
)
def test_a_retry_that_it_refuses_raises_the_first_failure(outcome: Reply | Exception, words: str) -> None:
    """The error is that of the first attempt, with the seconds of the circuit breaker."""
    clock, transport = FakeClock(), FakeTransport(in_turn([outcome] * 9))
    client = ReplicaClient("http://x", transport=transport, clock=clock, pause=clock.pause, jitter=lambda: 0.5)
    call = InferCall("mini", "topic", Tensor.ints([0, 5, 2]), Tensor.ints([3]))
    for _ in range(4):  # no time for a retry; the fifth failure in a row opens the breaker
        with pytest.raises(GlossaError):
            client.infer([call], clock.now_s + 0.05)
    with pytest.raises(GlossaError, match=words) as raised:
        client.infer([call], clock.now_s + 20.0)
    assert len(transport.sent) == 5
    assert raised.value.retry_after_s == pytest.approx(10.0, abs=1.0)


@given(st.lists(st.sampled_from(["success", "failure", "release", "later"]), max_size=60))
def test_never_open_longer_than_its_recovery(events: list[str]) -> None:
    """After the recovery time one call passes, whatever happened before."""
    clock = FakeClock()
    breaker = CircuitBreaker(3, 10.0, clock=clock)
    for name in events:
        if name == "later":
            clock.pause(3.0)
            continue
        try:
            generation = breaker.admit()
        except Unavailable:
            continue
        {"success": breaker.success, "failure": breaker.failure, "release": breaker.release}[name](generation)
    clock.pause(10.0)
    breaker.admit()


@given(st.lists(st.booleans(), max_size=300))
def test_retries_stay_within_the_budget(fails: list[bool]) -> None:
    """At most a tenth of the calls is retried, and one more that is saved at the start."""
    budget = RetryBudget()
    retries = 0
    for failed in fails:
        budget.earn()
        retries += failed and budget.spend()
    assert retries <= 1 + 0.1 * len(fails) + 1e-6
