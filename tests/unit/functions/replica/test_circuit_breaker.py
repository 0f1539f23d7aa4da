"""The circuit breaker of one function, with a clock that only the tests move. test_shared_breaker.py has several."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

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

RULES = BreakerRules()


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
    clock.pause(0.9)
    with pytest.raises(Unavailable, match="failed 5 times in a row") as refused:
        breaker.admit()
    assert refused.value.retry_after_s == pytest.approx(RULES.typical_s - 0.9)


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
    """While half-open, one probe is out. Another call is refused until it is answered, and then all pass."""
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
    clock.pause(1.0)
    breaker.failure(breaker.admit())
    clock.pause(0.9)
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


@pytest.mark.parametrize(("asked_s", "told_s"), [(None, 15.0), (3.0, 15.0), (20.0, 20.0), (900.0, 60.0)])
def test_callers_are_told_to_wait_as_long_as_the_server_asks(asked_s: float | None, told_s: float) -> None:
    """The server's own Retry-After counts when it is longer than outages take, up to a minute. Probes go on."""
    clock = FakeClock()
    breaker = _breaker(clock)
    for _ in range(5):
        breaker.failure(breaker.admit(), retry_after_s=asked_s)
    with pytest.raises(Unavailable) as refused:
        breaker.admit()
    assert refused.value.retry_after_s == told_s
    clock.pause(RULES.recovery_s)
    assert breaker.admit().lease == 1


def _outage(breaker: CircuitBreaker, clock: FakeClock, seconds: float) -> list[tuple[float, float]]:
    """Let the server be away for some seconds, with a call every 0.2 s. Return each refusal's time and its wait."""
    began_s, refusals = clock.now_s, []
    while True:
        clock.pause(0.2)
        is_back = clock.now_s >= began_s + seconds
        try:
            call = breaker.admit()
        except Unavailable as refused:
            refusals.append((clock.now_s - began_s, refused.retry_after_s or 0.0))
            continue
        if not is_back:
            breaker.failure(call)
            continue
        breaker.success(call)
        if call.lease is None:
            return refusals


@pytest.mark.parametrize("seconds", [6.0, 11.5, 15.0])
def test_the_time_that_callers_are_told_turns_out_right(seconds: float) -> None:
    """In an outage that takes what is usual, who comes again as told is answered."""
    clock = FakeClock()
    refusals = _outage(_breaker(clock), clock, seconds)
    right = [at_s + wait_s >= seconds for at_s, wait_s in refusals]
    assert len(refusals) > 10
    assert sum(right) / len(right) >= 0.95


def test_a_longer_outage_is_expected_after_a_long_one() -> None:
    """After an outage of 29 s, as on a busy machine, the next one is announced right from its begin."""
    clock = FakeClock()
    breaker = _breaker(clock)
    first, later = _outage(breaker, clock, 29.0), _outage(breaker, clock, 29.0)
    assert min(at_s + wait_s for at_s, wait_s in first) < 29.0
    assert min(at_s + wait_s for at_s, wait_s in later) >= 29.0


def test_a_stall_is_expected_to_take_longer() -> None:
    """One caller that found the server stalled opens it. The replica must be found dead before it starts again."""
    clock = FakeClock()
    breaker = _breaker(clock)
    call = breaker.admit()
    clock.pause(6.0)
    breaker.failure(call, late=True, stalled=True)
    with pytest.raises(Unavailable) as refused:
        breaker.admit()
    assert refused.value.retry_after_s == RULES.typical_s + RULES.stall_s - 6.0


def test_every_caller_passes_after_a_good_probe_and_the_next_failure_opens_it_longer() -> None:
    """A server may be ready and answer no call. Then it is asked less and less often."""
    clock = FakeClock()
    breaker = _opened(clock)
    waits_s = []
    for _ in range(5):
        while True:
            clock.pause(0.5)
            try:
                probe = breaker.admit()
            except Unavailable:
                continue
            break
        waits_s.append(clock.now_s)
        breaker.success(probe)
        assert [breaker.admit().lease, breaker.admit().lease] == [None, None]
        breaker.failure(breaker.admit())
        assert breaker.phase == "open"
    assert [b - a for a, b in pairwise(waits_s)] == [2.0, 4.0, 8.0, 8.0]


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
    assert raised.value.retry_after_s == pytest.approx(1.15 * RULES.typical_s, abs=0.5)


@given(st.lists(st.sampled_from(["success", "failure", "release", "later"]), max_size=60))
def test_never_open_longer_than_its_recovery(events: list[str]) -> None:
    """After the longest time between two probes one passes, whatever happened before."""
    clock = FakeClock()
    breaker = CircuitBreaker("mini", InMemoryBreakers(clock), RULES)
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
