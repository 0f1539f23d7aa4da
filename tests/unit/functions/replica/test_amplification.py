"""Retries never make an outage worse: the calls to the model server stay within 1.2 times those of the callers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, SentRequest
from functions.replica.readiness import Patience
from functions.replica.transport import NotConnected, Reply, ReplyLost
from shared.errors import GlossaError, Overloaded
from tests.unit.functions.replica.world import call_of, good, is_probe, refusal

N_CALLS, MOST = 100, 1.2
FAULTS: dict[str, Reply | Exception] = {
    "full": refusal(Overloaded("full", retry_after_s=1.0)),
    "cut": ReplyLost("x"),
    "away": NotConnected("x"),
    "proxy": Reply(502, {}, b"bad gateway"),
}


def _n_sent(faults: Callable[[int], Reply | Exception | None], *, waits_for_server: bool = False) -> int:
    """Return how many requests, probes included, the server sees of N_CALLS calls. A fault is of the n-th request."""
    clock, n_seen = FakeClock(), 0

    def respond(sent: SentRequest) -> Reply:
        nonlocal n_seen
        n_seen += 1
        fault = faults(n_seen)
        if isinstance(fault, Exception):
            raise fault
        return fault or (Reply(200) if is_probe(sent) else good(sent))

    client = ReplicaClient(
        "http://x", transport=FakeTransport(respond), clock=clock, pause=clock.pause, jitter=lambda: 0.5,
        patience=Patience(caller_s=30.0), waits_for_server=waits_for_server,
    )  # fmt: skip
    for _ in range(N_CALLS):
        clock.pause(0.2)
        try:
            client.infer([call_of()], clock.now_s + 20.0)
        except GlossaError:
            continue
    return n_seen


@pytest.mark.parametrize("waits_for_server", [False, True])
@pytest.mark.parametrize("name", FAULTS)
def test_a_server_that_always_fails_sees_few_requests_more(name: str, *, waits_for_server: bool) -> None:
    """However it fails, and whoever calls."""
    assert _n_sent(lambda _: FAULTS[name], waits_for_server=waits_for_server) <= MOST * N_CALLS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([None, *FAULTS]), min_size=2 * N_CALLS, max_size=2 * N_CALLS))
def test_any_mix_of_faults_stays_within_the_bound(names: list[str | None]) -> None:
    """Also where faults come and go."""
    assert _n_sent(lambda n: FAULTS[name] if (name := names[n - 1]) else None) <= MOST * N_CALLS
