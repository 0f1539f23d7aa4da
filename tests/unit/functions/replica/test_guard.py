"""Bad days of the only replica: callers hear of it at once and honestly, and the first good probe lets all pass."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from functions.replica.breaker_state import BreakerRules
from functions.replica.breaker_store import InMemoryBreakers
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, SentRequest
from functions.replica.guard import MAX_BLOCKED_S
from functions.replica.readiness import Patience
from functions.replica.transport import NotConnected, Reply, ReplyLate, ReplyLost
from shared.errors import DeadlineExceeded, GlossaError, Unavailable
from tests.unit.functions.replica.world import call_of, good, is_probe, refusal

RULES = BreakerRules()
WAITS_LONG = Patience(caller_s=30.0)  # a test waits for the answer, however slow the machine is
HURRIED = Patience(question_s=0.01, caller_s=30.0, call_s=0.01, n_silent=2)


class Server:
    """A server whose state a test sets: `fault` is raised or returned, and None answers."""

    def __init__(self) -> None:
        self.fault: Reply | Exception | None = None
        self.probe_fault: Reply | Exception | None = None

    def __call__(self, sent: SentRequest) -> Reply:
        """Answer a call or a probe."""
        fault = self.probe_fault if is_probe(sent) else self.fault
        if isinstance(fault, Exception):
            raise fault
        return fault or (Reply(200) if is_probe(sent) else good(sent))


def _client(
    respond: Callable[[SentRequest], Reply], clock: FakeClock, store: InMemoryBreakers | None = None,
    patience: Patience = WAITS_LONG, *, waits_for_server: bool = False, jitter: float = 0.0,
) -> tuple[ReplicaClient, FakeTransport]:  # fmt: skip
    transport = FakeTransport(respond)
    client = ReplicaClient(
        "http://x", transport=transport, breakers=store, clock=clock, pause=clock.pause, jitter=lambda: jitter,
        patience=patience, waits_for_server=waits_for_server,
    )  # fmt: skip
    return client, transport


def _refused(client: ReplicaClient, clock: FakeClock) -> GlossaError:
    with pytest.raises(GlossaError) as raised:
        client.infer([call_of()], clock.now_s + 20.0)
    return raised.value


@pytest.mark.parametrize("fault", [NotConnected("x"), ReplyLost("x"), ReplyLate("x"), Reply(500, {}, b"")], ids=repr)
def test_the_breaker_opens_and_recovers(fault: Reply | Exception, capsys: Any) -> None:
    """After five failures no call is sent. A second later a probe finds the server, and the same caller is answered."""
    clock, server = FakeClock(), Server()
    client, transport = _client(server, clock)
    server.fault = server.probe_fault = fault
    for _ in range(7):
        error = _refused(client, clock)
    assert len(transport.sent) == 5
    stall_s = RULES.stall_s if isinstance(fault, ReplyLate) else 0.0
    assert error.retry_after_s == pytest.approx(RULES.typical_s + stall_s, abs=1.0)
    server.fault = server.probe_fault = None
    clock.pause(RULES.recovery_s)
    client.infer([call_of()], clock.now_s + 20.0)
    assert [is_probe(sent) for sent in transport.sent[5:]] == [True, False]
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states == ["closed", "open", "half-open", "closed"]


def test_no_caller_is_sent_to_a_dead_server_while_it_is_away() -> None:
    """Over an outage of 20 s calls come five times a second. After the opening the server sees a probe a second."""
    clock, server = FakeClock(), Server()
    client, transport = _client(server, clock)
    server.fault = server.probe_fault = NotConnected("x")
    for _ in range(5):
        _refused(client, clock)
    n_before = len(transport.sent)
    for _ in range(100):
        clock.pause(0.2)
        assert isinstance(_refused(client, clock), Unavailable)
    probes = transport.sent[n_before:]
    assert all(is_probe(sent) and sent.timeout_s <= 2.0 for sent in probes)
    assert 15 <= len(probes) <= 20


def test_a_caller_does_not_wait_for_a_probe_that_hangs() -> None:
    """It is refused while the probe is out. The answer that comes later lets the next caller pass."""
    clock, server, answered = FakeClock(), Server(), threading.Event()

    def respond(sent: SentRequest) -> Reply:
        if is_probe(sent):
            assert answered.wait(30.0)
        return server(sent)

    client, _ = _client(respond, clock, patience=Patience(caller_s=0.01))
    server.fault = NotConnected("x")
    for _ in range(5):
        _refused(client, clock)
    server.fault = None
    clock.pause(RULES.recovery_s)
    before = set(threading.enumerate())
    assert isinstance(_refused(client, clock), Unavailable)
    assert clock.pauses_s[-1] == RULES.recovery_s
    (probe,) = (thread for thread in threading.enumerate() if thread.name == "probe" and thread not in before)
    answered.set()
    probe.join(30.0)
    assert len(client.infer([call_of()], clock.now_s + 20.0)) == 1


def test_a_good_probe_of_one_function_lets_all_others_pass_within_a_second() -> None:
    """Each of eight functions had heard that the server is away."""
    clock, server = FakeClock(), Server()
    store = InMemoryBreakers(clock)
    clients = [_client(server, clock, store)[0] for _ in range(8)]
    server.fault = server.probe_fault = Reply(503, {}, b"")
    for client in clients * 2:
        _refused(client, clock)
        clock.pause(0.01)
    server.fault = server.probe_fault = None
    clock.pause(RULES.recovery_s)
    for client in clients:
        assert len(client.infer([call_of()], clock.now_s + 20.0)) == 1


def test_every_refusal_says_when_the_server_is_likely_to_be_back() -> None:
    """Also those before the breaker opens. The words of a front that knows more count: it says 25 s."""
    clock, server = FakeClock(), Server()
    client, _ = _client(server, clock)
    server.fault = Reply(503, {}, b"")
    server.probe_fault = refusal(Unavailable("no replica", retry_after_s=25.0))
    for _ in range(5):
        assert _refused(client, clock).retry_after_s == pytest.approx(RULES.typical_s, abs=1.0)
    clock.pause(RULES.recovery_s)
    assert _refused(client, clock).retry_after_s == 25.0


def test_a_refusal_of_a_server_without_a_replica_is_not_waited_out() -> None:
    """The caller hears of it at once. A job waits, because nobody waits for it."""
    clock, server = FakeClock(), Server()
    server.fault = refusal(Unavailable("no replica", retry_after_s=1.0))
    client, transport = _client(server, clock)
    assert _refused(client, clock).retry_after_s == RULES.typical_s
    assert (len(transport.sent), clock.pauses_s) == (1, [])
    patient, transport = _client(server, clock, waits_for_server=True)
    _refused(patient, clock)
    assert (len(transport.sent), clock.pauses_s) == (2, [1.0])


def test_a_job_asks_whether_the_server_is_back_before_it_takes_a_shard() -> None:
    """It pauses as long as the server is likely to be away, but asks every five seconds."""
    clock, server = FakeClock(), Server()
    client, _ = _client(server, clock, waits_for_server=True)
    assert client.blocked_s("mini") == 0.0
    server.fault = server.probe_fault = NotConnected("x")
    for _ in range(5):
        _refused(client, clock)
    for _ in range(3):
        assert client.blocked_s("mini") == pytest.approx(MAX_BLOCKED_S, abs=0.1)
        clock.pause(MAX_BLOCKED_S)
    server.fault = server.probe_fault = None
    assert client.blocked_s("mini") == 0.0


@contextmanager
def _stall(server: Server) -> Iterator[Callable[[SentRequest], Reply]]:
    """Yield a server that keeps calls waiting until the end, and answers probes as `server` does."""
    over = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        if not is_probe(sent):
            over.wait(30.0)
        return server(sent)

    yield respond
    over.set()


def test_a_server_that_answers_nothing_is_noticed_by_one_caller() -> None:
    """Long before the call's time is over. The next caller is refused at once, and told of a longer outage."""
    clock, server = FakeClock(), Server()
    server.probe_fault = ReplyLate("x")
    with _stall(server) as respond:
        client, transport = _client(respond, clock, patience=HURRIED)
        assert isinstance(_refused(client, clock), DeadlineExceeded)
        assert [is_probe(sent) for sent in transport.sent] == [False, True, True]
        error = _refused(client, clock)
        assert isinstance(error, Unavailable)
        assert error.retry_after_s == RULES.typical_s + RULES.stall_s
        assert len(transport.sent) == 3


@pytest.mark.parametrize("probe_fault", [None, Reply(503, {}, b""), NotConnected("x")], ids=repr)
def test_a_slow_call_goes_on_while_the_server_answers_anything(probe_fault: Reply | Exception | None) -> None:
    """A long text takes long. A replica that drains says that it is not ready, and still answers what it has."""
    clock, server, n_asked = FakeClock(), Server(), 0
    server.probe_fault = probe_fault
    asked_often = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        nonlocal n_asked
        if is_probe(sent):
            n_asked += 1
            if n_asked > 2 * HURRIED.n_silent:
                asked_often.set()
        else:
            assert asked_often.wait(30.0)
        return server(sent)

    client, _ = _client(respond, clock, patience=HURRIED)
    assert len(client.infer([call_of()], clock.now_s + 20.0)) == 1


def test_silence_must_be_unbroken() -> None:
    """One question without an answer, one with, and so on: the server is busy, and has not stalled."""
    clock, n_asked = FakeClock(), 0
    asked_often = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        nonlocal n_asked
        if not is_probe(sent):
            assert asked_often.wait(30.0)
            return good(sent)
        n_asked += 1
        if n_asked == 9:
            asked_often.set()
        if n_asked % 2:
            raise ReplyLate("x")
        return Reply(200)

    client, _ = _client(respond, clock, patience=HURRIED)
    assert len(client.infer([call_of()], clock.now_s + 20.0)) == 1


def test_silence_and_then_the_word_that_no_replica_runs_is_a_stall() -> None:
    """HAProxy takes a replica out that stalls. The call that this one holds does not wait for it any longer."""
    clock, n_asked = FakeClock(), 0
    server = Server()

    def respond(sent: SentRequest) -> Reply:
        nonlocal n_asked
        n_asked += is_probe(sent)
        server.probe_fault = ReplyLate("x") if n_asked == 1 else refusal(Unavailable("no replica runs"))
        return stalled(sent)

    with _stall(server) as stalled:
        client, transport = _client(respond, clock, patience=HURRIED)
        assert isinstance(_refused(client, clock), DeadlineExceeded)
        assert len(transport.sent) == 3


def test_callers_are_not_all_told_the_same_moment() -> None:
    """Who is refused during an outage would come back with all others. The wait has a random part."""
    told = []
    for jitter in (0.0, 1.0):
        clock, server = FakeClock(), Server()
        client, _ = _client(server, clock, jitter=jitter)
        server.fault = Reply(503, {}, b"")
        for _ in range(6):
            error = _refused(client, clock)
        told.append(error.retry_after_s)
    assert told == [pytest.approx(RULES.typical_s, abs=0.5), pytest.approx(1.3 * RULES.typical_s, abs=0.5)]


def test_a_job_is_not_cut_short() -> None:
    """A record that holds the server up must be found by the time that it takes."""
    clock, transport = FakeClock(), FakeTransport(good)
    client = ReplicaClient("http://x", transport=transport, clock=clock, patience=HURRIED, waits_for_server=True)
    names = []
    transport.respond = lambda sent: (names.append(threading.current_thread()), good(sent))[1]
    client.infer([call_of()], clock.now_s + 20.0)
    assert names == [threading.current_thread()]
