"""Several functions with one store of circuit breakers: what one of them learns, all of them know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.replica.breaker_state import MAX_WAIT_S, Admission, BreakerRules
from functions.replica.breaker_store import InMemoryBreakers
from functions.replica.circuit_breaker import READ_EVERY_S, STORE_REST_S, CircuitBreaker
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, FaultyBreakers, SentRequest
from functions.replica.readiness import Patience
from functions.replica.transport import NotConnected, Reply
from shared.errors import GlossaError, Unavailable
from tests.unit.functions.replica.world import call_of, good, is_probe

RULES = BreakerRules()
Fault = Literal["none", "before", "after"]


def _functions(n: int, clock: FakeClock, fault: Sequence[Fault] = ()) -> tuple[list[CircuitBreaker], FaultyBreakers]:
    """Return the breakers of n functions over one store, which has these faults one after the other, and then none."""
    faults = iter(fault)
    store = FaultyBreakers(InMemoryBreakers(clock), lambda: next(faults, "none"))
    return [CircuitBreaker("mini", store) for _ in range(n)], store


def _open(functions: Sequence[CircuitBreaker], clock: FakeClock) -> None:
    """Let the functions fail in turn until it is open, and then each that has not yet heard of it once more."""
    for i in range(RULES.threshold):
        function = functions[i % len(functions)]
        call = function.admit()
        clock.pause(0.01)
        function.failure(call)
    for function in functions:
        if function.phase == "closed":
            function.failure(function.admit())


def test_five_failures_of_five_functions_open_it() -> None:
    """Failures of all functions count together."""
    clock = FakeClock()
    functions, store = _functions(5, clock)
    _open(functions, clock)
    assert store.store.states["mini"].is_open
    assert store.reads == 0


def test_a_function_that_starts_while_it_is_open_learns_so_from_its_first_failure() -> None:
    """Its second call is refused, with the seconds after which the server is likely to be back."""
    clock = FakeClock()
    functions, _ = _functions(6, clock)
    _open(functions[:5], clock)
    call = functions[5].admit()
    clock.pause(0.5)
    functions[5].failure(call)
    with pytest.raises(Unavailable) as refused:
        functions[5].admit()
    assert refused.value.retry_after_s == pytest.approx(RULES.typical_s, abs=1.0)


def test_while_all_is_well_nothing_is_asked() -> None:
    """A call that succeeds reads and writes nothing. Only the first success after a failure is written."""
    clock = FakeClock()
    (function,), store = _functions(1, clock)
    for _ in range(50):
        function.success(function.admit())
    assert (store.reads, store.writes) == (0, 0)
    function.failure(function.admit())
    for _ in range(50):
        function.success(function.admit())
    assert (store.reads, store.writes) == (0, 2)


def test_while_another_probes_the_store_is_read_once_a_second() -> None:
    """A refused call waits for nobody. When the probe of another function succeeds, the next read shows it."""
    clock = FakeClock()
    (one, other), store = _functions(2, clock)
    _open([one, other], clock)
    clock.pause(RULES.recovery_s)
    probe = one.admit()
    for _ in range(19):
        clock.pause(0.1)
        with pytest.raises(Unavailable):
            other.admit()
    assert store.reads <= 3
    one.success(probe)
    clock.pause(READ_EVERY_S)
    assert other.admit().lease is None


def test_a_prober_that_dies_is_followed_by_another() -> None:
    """The lease ends by itself."""
    clock = FakeClock()
    (one, other), _ = _functions(2, clock)
    _open([one, other], clock)
    clock.pause(RULES.recovery_s)
    one.admit()
    clock.pause(RULES.lease_s)
    assert other.admit().lease == 2


def test_without_a_store_each_function_goes_on_alone() -> None:
    """No error of the store reaches a call. The function opens after its own failures, and leaves the store alone."""
    clock = FakeClock()
    (function,), store = _functions(1, clock, ["before"] * 1000)
    _open([function], clock)
    assert function.phase == "open"
    assert store.writes == 1
    clock.pause(RULES.recovery_s)
    function.success(function.admit())
    assert function.phase == "closed"


def test_a_store_that_is_back_is_told() -> None:
    """What a function learnt alone is written with its next change."""
    clock = FakeClock()
    (function, other), store = _functions(2, clock, ["before"])
    _open([function], clock)
    assert store.store.states == {}
    clock.pause(max(STORE_REST_S, RULES.recovery_s))
    function.failure(function.admit())
    assert store.store.states["mini"].is_open
    other.failure(other.admit())
    assert other.phase == "open"


Step = tuple[int, str, Fault]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["admit", "success", "failure", "late", "release", "wait", "wait", "wait long"]),
        st.sampled_from(["none", "none", "none", "before", "after"]),
    ),
    max_size=80,
)


def _walk(steps: Sequence[Step], *, lossy: bool) -> tuple[list[CircuitBreaker], FakeClock, FaultyBreakers, int]:
    """Let four functions do these steps; return them with the most probes that held a lease at the same time."""
    clock, fault = FakeClock(), list[Fault](["none"])
    store = FaultyBreakers(InMemoryBreakers(clock), lambda: fault[0])
    functions = [CircuitBreaker("mini", store) for _ in range(4)]
    under_way: list[list[Admission]] = [[] for _ in functions]
    leases: dict[int, float] = {}
    waits_s: list[float] = []
    most = 0
    for who, what, loss in steps:
        function, calls = functions[who], under_way[who]
        fault[0] = loss if lossy else "none"
        if what.startswith("wait"):
            clock.pause(5.5 if what == "wait long" else 0.7)
        elif what == "admit" or not calls:
            try:
                calls.append(function.admit())
            except Unavailable as refused:
                waits_s.append(refused.retry_after_s or 0.0)
                continue
            if (lease := calls[-1].lease) is not None:
                assert lossy or lease not in leases
                leases[lease] = clock.now_s + RULES.lease_s
                most = max(most, sum(until > clock.now_s for until in leases.values()))
        else:
            call = calls.pop(0)
            if call.lease is not None:
                leases.pop(call.lease, None)
            if what == "late":
                function.failure(call, late=True)
            else:
                {"success": function.success, "failure": function.failure, "release": function.release}[what](call)
    fault[0] = "none"
    assert all(0 < wait_s <= MAX_WAIT_S for wait_s in waits_s)
    return functions, clock, store, most


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_at_most_one_function_probes_at_a_time(steps: list[Step]) -> None:
    """Whatever four functions do, no two probes hold a lease at the same time."""
    assert _walk(steps, lossy=False)[3] <= 1


@given(STEPS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_server_that_is_back_is_found_by_every_function(steps: list[Step], lossy: bool) -> None:  # noqa: FBT001 - hypothesis passes it by place
    """Whatever happened, and whatever the store lost: after the longest wait, calls that succeed close it for all."""
    functions, clock, _, _ = _walk(steps, lossy=lossy)
    clock.pause(RULES.most_open_s)
    for function in functions:
        for _ in range(3):
            clock.pause(max(READ_EVERY_S, STORE_REST_S))
            function.success(function.admit())
        assert function.phase == "closed"


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_a_server_that_is_down_is_noticed_within_five_failures(steps: list[Step]) -> None:
    """Whatever happened before, four functions send at most five more calls in vain while it is not open."""
    functions, clock, store, _ = _walk(steps, lossy=False)
    n_failed = 0
    for i in range(40):
        stored = store.store.states.get("mini")
        if stored is not None and stored.is_open:
            break
        try:
            call = functions[i % 4].admit()
        except Unavailable:
            clock.pause(READ_EVERY_S)
            continue
        clock.pause(0.01)
        functions[i % 4].failure(call)
        n_failed += 1
    assert store.store.states["mini"].is_open
    assert n_failed <= RULES.threshold


def test_a_client_that_lost_the_store_still_answers_and_still_refuses() -> None:
    """The store raises whatever it likes; callers see errors of the model server alone."""
    clock, up = FakeClock(), [True]
    store = FaultyBreakers(InMemoryBreakers(clock), lambda: "before")

    def respond(sent: SentRequest) -> Reply:
        if not up[0]:
            raise NotConnected("nothing listens")
        return Reply(200) if is_probe(sent) else good(sent)

    transport = FakeTransport(respond)
    client = ReplicaClient(
        "http://127.0.0.1:9", transport=transport, breakers=store, clock=clock, pause=clock.pause, jitter=lambda: 0.5,
        patience=Patience(caller_s=30.0),
    )  # fmt: skip
    assert len(client.infer([call_of()], clock.now_s + 20.0)) == 1
    up[0] = False
    for _ in range(20):
        with pytest.raises(GlossaError):
            client.infer([call_of()], clock.now_s + 20.0)
    assert len(transport.sent) == 1 + 5
    up[0] = True
    clock.pause(RULES.recovery_s)
    assert len(client.infer([call_of()], clock.now_s + 20.0)) == 1
