"""The replica client: deadlines, the one retry, the circuit breaker, order, and the error of each bad reply."""

from __future__ import annotations

import threading

import pytest

from functions.replica.fake import FakeClock, SentRequest, in_turn
from functions.replica.transport import NotConnected, Reply, ReplyLate, ReplyLost
from shared.errors import (
    BY_CODE,
    DeadlineExceeded,
    GlossaError,
    Overloaded,
    Unavailable,
    Unprocessable,
)
from shared.protocol import decode_call
from tests.unit.functions.replica.world import LIMITS, START_S, call_of, client_for, first_ids, good, refusal, then_good


def test_a_call_is_sent_and_answered() -> None:
    """The call is sent to the model's path, with the time left in a header. Tensors and timings are returned."""
    client, transport = client_for(good)
    (answer,) = client.infer([call_of(7)], START_S + 20.0, request_id="r-1")
    (sent,) = transport.sent
    assert first_ids([answer]) == [7.0]
    assert answer.timings_s == {"queue": 0.25, "infer": 0.5}
    assert (sent.method, sent.path, sent.timeout_s) == ("POST", "/v2/models/mini/infer", 20.0)
    assert (
        float(sent.headers["x-request-timeout-seconds"]) == 18.0
    )  # less than 20, so that a server that is late can say so
    assert sent.headers["x-request-id"] == "r-1"


def test_order_is_kept() -> None:
    """Answers have the order of the calls, however many are in flight."""
    client, _ = client_for(good)
    assert first_ids(client.infer([call_of(i) for i in range(20)], START_S + 20.0)) == list(map(float, range(20)))
    assert client.infer([], START_S + 20.0) == []


def test_at_most_four_in_flight() -> None:
    """Of any number of calls, exactly four are at the server at the same time."""
    now, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(4, timeout=10)

    def respond(sent: SentRequest) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        return good(sent)

    client, _ = client_for(respond)
    client.infer([call_of(i) for i in range(12)], START_S + 20.0)
    assert most == 4


def test_the_first_failure_ends_all() -> None:
    """The error of one call is raised for all, and calls that have not begun are never sent."""
    over = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        first_id = decode_call("mini", sent.headers, sent.data, LIMITS).call.input_ids.int_values()[0]
        refused = first_id == 0 or not over.wait(10.0)
        return refusal(Unprocessable("got head 'x', expected 'topic'")) if refused else good(sent)

    client, transport = client_for(respond)
    with pytest.raises(Unprocessable, match="got head 'x'"):
        client.infer([call_of(i) for i in range(40)], START_S + 20.0)
    over.set()
    assert len(transport.sent) <= 5  # four at once, and one after the first was answered


RETRIED = [
    NotConnected("refused"),
    ReplyLost("reset"),
    Reply(500, {}, b"<html>Internal Server Error</html>"),  # HAProxy rewrites its own 502, 503 and 504 to this
    Reply(502, {}, b"bad gateway"),
    Reply(429, {"retry-after": "2"}, b"slow down"),
    refusal(Overloaded("got 9 tokens more, at most 8", retry_after_s=1.5)),
    refusal(Unavailable("draining")),
]


@pytest.mark.parametrize("outcome", RETRIED, ids=repr)
def test_one_retry_where_it_can_help(outcome: Reply | Exception) -> None:
    """A missing or broken connection, a proxy's 5xx, 429 and 503 are retried once, with success."""
    client, transport = client_for(then_good(outcome))
    assert first_ids(client.infer([call_of(3)], START_S + 20.0)) == [3.0]
    assert len(transport.sent) == 2


@pytest.mark.parametrize("outcome", RETRIED, ids=repr)
def test_never_two_retries(outcome: Reply | Exception) -> None:
    """The second failure is raised."""
    client, transport = client_for(then_good(outcome, outcome))
    with pytest.raises(GlossaError) as raised:
        client.infer([call_of()], START_S + 20.0)
    assert 429 <= raised.value.status <= 503
    assert len(transport.sent) == 2


@pytest.mark.parametrize(
    ("reply", "pause_s"),
    [
        (Reply(429, {"retry-after": "2"}, b""), 2.05),
        (Reply(503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""), 0.05),
        (Reply(429, {"retry-after": "-1"}, b""), 0.05),
        (refusal(Overloaded("full", retry_after_s=1.5)), 1.55),
        (NotConnected("refused"), 0.05),
    ],
)
def test_retry_waits_as_told_and_a_little_more(reply: Reply | Exception, pause_s: float) -> None:
    """The pause is Retry-After plus jitter. Without Retry-After it is the jitter alone."""
    clock = FakeClock()
    client, _ = client_for(then_good(reply), clock)
    client.infer([call_of()], START_S + 20.0)
    assert clock.pauses_s == [pytest.approx(pause_s)]


def test_a_wait_that_does_not_fit_is_not_waited() -> None:
    """When Retry-After exceeds the time left, the error is raised at once, with its seconds."""
    clock = FakeClock()
    client, transport = client_for(then_good(refusal(Overloaded("full", retry_after_s=5.0))), clock)
    with pytest.raises(Overloaded) as raised:
        client.infer([call_of()], START_S + 5.0)
    assert raised.value.retry_after_s == 5.0
    assert (clock.pauses_s, len(transport.sent)) == ([], 1)


def test_a_long_wait_is_left_to_the_caller() -> None:
    """A Retry-After of more than two seconds is raised at once, so that no connection hangs."""
    clock = FakeClock()
    client, transport = client_for(then_good(refusal(Overloaded("full", retry_after_s=10.0))), clock)
    with pytest.raises(Overloaded) as raised:
        client.infer([call_of()], START_S + 20.0)
    assert raised.value.retry_after_s == 10.0
    assert (clock.pauses_s, len(transport.sent)) == ([], 1)


def test_a_retry_is_sent_with_the_time_that_is_then_left() -> None:
    """The second attempt has a shorter timeout than the first."""
    client, transport = client_for(then_good(Reply(429, {"retry-after": "2"}, b"")))
    client.infer([call_of()], START_S + 20.0)
    assert [sent.timeout_s for sent in transport.sent] == [20.0, pytest.approx(17.95)]


def test_retries_are_a_tenth_of_the_calls() -> None:
    """When every call fails, only one in ten is retried, so that retries do not double an overload."""
    client, transport = client_for(lambda _: refusal(Overloaded("full")))
    for _ in range(100):
        with pytest.raises(Overloaded):
            client.infer([call_of()], START_S + 1e6)
    assert len(transport.sent) <= 100 + 11


def test_past_the_deadline_nothing_is_sent() -> None:
    """Without time left no request is sent."""
    client, transport = client_for(good)
    with pytest.raises(DeadlineExceeded, match="past the deadline"):
        client.infer([call_of()], START_S - 0.5)
    assert transport.sent == []


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - {"unavailable"}))
def test_breaker_ignores_errors_of_a_running_replica_about_one_request(code: str) -> None:
    """Errors below 500, and a replica's own 500, 502 or 504, never open it: a bad row must not block other callers."""
    client, transport = client_for(lambda _: refusal(BY_CODE[code]("x")))
    for _ in range(20):
        with pytest.raises(GlossaError):
            client.infer([call_of()], START_S + 0.01)
    assert len(transport.sent) == 20


def test_a_short_deadline_does_not_open_the_breaker() -> None:
    """A reply that is late after a tenth of a second says nothing about the server."""
    client, transport = client_for(in_turn([ReplyLate("late")] * 20))
    for _ in range(20):
        with pytest.raises(DeadlineExceeded):
            client.infer([call_of()], START_S + 0.1)
    assert len(transport.sent) == 20


def test_breakers_are_per_model() -> None:
    """A model that is down does not block another model."""
    client, _ = client_for(lambda sent: good(sent) if "/mini/" in sent.path else Reply(500, {}, b""))
    for _ in range(6):
        with pytest.raises(GlossaError):
            client.infer([call_of(model="other")], START_S + 20.0)
    assert len(client.infer([call_of()], START_S + 20.0)) == 1


@pytest.mark.parametrize(("outcome", "ready"), [(Reply(200), True), (Reply(503), False), (NotConnected("x"), False)])
def test_ready_asks_the_front(outcome: Reply | Exception, *, ready: bool) -> None:
    """The answer of the application at /v2 decides. No connection means not ready."""
    client, transport = client_for(in_turn([outcome]))
    assert client.ready() is ready
    assert transport.sent[0].path == "/v2/health/ready"


STATS = b'{"model_stats": [{"glossa": {"tokens_per_s": 1234.5}}]}'


@pytest.mark.parametrize(
    ("outcome", "measured"),
    [(Reply(200, {}, STATS), 1234.5), (Reply(200, {}, STATS.replace(b"1234.5", b"0.0")), None), (Reply(500), None),
     (Reply(200, {}, STATS.replace(b"1234.5", b"NaN")), None), (Reply(503), None), (NotConnected("x"), None)],
)  # fmt: skip
def test_the_measured_speed_is_asked_for(outcome: Reply | Exception, measured: float | None) -> None:
    """The speed is read from the replica's statistics. Anything else gives None, and no error."""
    client, transport = client_for(in_turn([outcome]))
    assert client.tokens_per_s("mini") == measured
    assert (transport.sent[0].method, transport.sent[0].path) == ("GET", "/v2/models/mini/stats")


def test_close_drops_everything_and_the_next_call_works() -> None:
    """A client that was closed, as before a snapshot, opens again by itself."""
    client, transport = client_for(good)
    client.infer([call_of(), call_of()], START_S + 20.0)
    client.close()
    assert transport.closed == 1
    assert len(client.infer([call_of(), call_of()], START_S + 20.0)) == 2
