"""The circuit breaker of one function, with a clock that only the tests move. test_shared_breaker.py has several."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.replica.breaker_state import Admission, BreakerRules, Phase
from functions.replica.breaker_store import InMemoryBreakers
from functions.replica.circuit_breaker import CircuitBreaker
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, in_turn
from functions.replica.transport import NotConnected, Reply, ReplyLost
from shared.errors import GlossaError, Unavailable
from shared.messages import InferCall, Tensor

RULES = BreakerRules(threshold=5, recovery_s=10.0, lease_s=10.0)


def _breaker(clock: FakeClock, changes: list[Phase] | None = None) -> CircuitBreaker:
    seen = list[Phase]() if changes is None else changes
    return CircuitBreaker("mini", InMemoryBreakers(clock), RULES, on_change=seen.append)


def _opened(clock: FakeClock, changes: list[Phase] | None = None) -> CircuitBreaker:
    breaker = _breaker(clock, changes)
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
    breaker = _breaker(FakeClock())
    for _ in range(8):
        breaker.failure(breaker.admit())
        breaker.success(breaker.admit())
    assert breaker.phase == "closed"


def test_calls_that_were_under_way_together_fail_once() -> None:
    """One replica of several that ends takes many calls with it. They are one failure, since no call was sent later."""
    clock = FakeClock()
    breaker = _breaker(clock)
    together = [breaker.admit() for _ in range(40)]
    for call in together:
        clock.pause(0.001)
        breaker.failure(call)
    assert breaker.phase == "closed"


def test_calls_that_waited_in_vain_count_each() -> None:
    """A server that hangs answers none of the calls that were under way together, so each of them counts."""
    clock = FakeClock()
    breaker = _breaker(clock)
    together = [breaker.admit() for _ in range(5)]
    for call in together:
        clock.pause(0.001)
        breaker.failure(call, late=True)
    assert breaker.phase == "open"


def test_failures_far_apart_do_not_add_up() -> None:
    """After a minute without a failure, the next one is the first again."""
    clock = FakeClock()
    breaker = _breaker(clock)
    for _ in range(20):
        breaker.failure(breaker.admit())
        clock.pause(61.0)
    assert breaker.phase == "closed"


def test_one_probe_after_recovery() -> None:
    """While half-open, one call passes. A second one is refused until the first is answered."""
    clock, changes = FakeClock(), list[Phase]()
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
    """A probe that showed nothing about the server lets the next call probe at once."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.pause(10.0)
    breaker.release(breaker.admit())
    assert breaker.admit().lease == 2
    assert breaker.phase == "half-open"


def test_a_probe_that_answers_after_its_lease_still_closes_it() -> None:
    """A slow server is up. The later probe changes nothing any more."""
    clock = FakeClock()
    breaker = _opened(clock)
    clock.pause(10.0)
    slow = breaker.admit()
    clock.pause(10.0)
    later = breaker.admit()
    breaker.success(slow)
    breaker.failure(later)
    assert breaker.phase == "closed"


@pytest.mark.parametrize(("asked_s", "refused_s"), [(None, 10.0), (3.0, 10.0), (20.0, 20.0), (900.0, 30.0)])
def test_it_waits_as_long_as_the_server_asks(asked_s: float | None, refused_s: float) -> None:
    """The server's own Retry-After counts when it is longer than the recovery, up to half a minute."""
    breaker = _breaker(FakeClock())
    for _ in range(5):
        breaker.failure(breaker.admit(), retry_after_s=asked_s)
    assert breaker.blocked_s() == refused_s


@pytest.mark.parametrize("answer", [CircuitBreaker.success, CircuitBreaker.failure, CircuitBreaker.release])
@pytest.mark.parametrize("after_s", [0.0, 10.0])
def test_results_from_before_the_opening_are_ignored(
    answer: Callable[[CircuitBreaker, Admission], None], after_s: float
) -> None:
    """The result of a call from before the opening neither closes the circuit breaker nor ends a probe."""
    clock = FakeClock()
    breaker = _breaker(clock)
    stale = breaker.admit()
    for _ in range(5):
        breaker.failure(breaker.admit())
    clock.pause(after_s)
    probe = breaker.admit() if after_s else None
    before = breaker.phase
    answer(breaker, stale)
    assert breaker.phase == before
    with pytest.raises(Unavailable):
        breaker.admit()
    if probe is not None:
        breaker.success(probe)
        assert breaker.phase == "closed"


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
    assert raised.value.retry_after_s == pytest.approx(BreakerRules().recovery_s, abs=0.1)


@given(st.lists(st.sampled_from(["success", "failure", "release", "later"]), max_size=60))
def test_never_open_longer_than_its_recovery(events: list[str]) -> None:
    """After the recovery time one call passes, whatever happened before."""
    clock = FakeClock()
    breaker = CircuitBreaker("mini", InMemoryBreakers(clock), BreakerRules(threshold=3, recovery_s=10.0, lease_s=10.0))
    for name in events:
        if name == "later":
            clock.pause(3.0)
            continue
        try:
            call = breaker.admit()
        except Unavailable:
            continue
        {"success": breaker.success, "failure": breaker.failure, "release": breaker.release}[name](call)
    clock.pause(10.0)
    breaker.admit()
