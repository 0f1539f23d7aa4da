"""The client over real HTTP on loopback: numbers, reused connections, deadlines, bad answers."""

from __future__ import annotations

import threading
import time

import pytest

from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, SentRequest
from functions.replica.transport import HttpTransport, Reply, ReplyLate
from shared.errors import (
    DeadlineExceeded,
    GlossaError,
    ReplicaError,
    TooLarge,
    Unavailable,
)
from tests.loopback import serving
from tests.unit.functions.replica.world import call_of, first_ids, good


def _soon() -> float:
    return time.monotonic() + 10.0


def test_over_http_the_same_numbers_and_kept_connections() -> None:
    """Answers of a real server on loopback have the order of the calls and use at most four connections."""
    with serving(good) as (url, connections):
        client = ReplicaClient(url)
        for _ in range(3):
            assert first_ids(client.infer([call_of(i) for i in range(8)], _soon())) == list(map(float, range(8)))
        client.close()
    assert 1 <= len(connections) <= 4


@pytest.mark.parametrize(("status", "n_connections"), [(502, 3), (503, 3), (200, 1), (429, 1)])
def test_a_connection_to_a_proxy_that_knows_no_replica_is_not_used_again(status: int, n_connections: int) -> None:
    """The proxy that answers on it may be of before the replica was back."""
    with serving(lambda _: Reply(status, {"content-length": "2"}, b"{}")) as (url, connections):
        transport = HttpTransport(url)
        for _ in range(3):
            assert transport.send("GET", "/", {}, b"", timeout_s=10.0, max_bytes=100).status == status
        transport.close()
    assert len(connections) == n_connections


def test_a_refusal_on_a_kept_connection_is_asked_again_on_a_new_one() -> None:
    """A function that was idle while the replica was away still has a connection to the proxy that was before."""
    replies = iter([200, 503, 200, 503, 503])
    with serving(lambda _: Reply(next(replies), {"content-length": "2"}, b"{}")) as (url, connections):
        transport = HttpTransport(url)
        sent = [transport.send("GET", "/", {}, b"", timeout_s=10.0, max_bytes=100).status for _ in range(3)]
        transport.close()
    assert (sent, len(connections)) == ([200, 200, 503], 3)


def test_over_http_nobody_listens() -> None:
    """A port without a server is Unavailable, and opens the circuit breaker."""
    with serving(good) as (url, _):
        pass
    client = ReplicaClient(url, pause=lambda _: None)
    for _ in range(6):
        with pytest.raises(Unavailable):
            client.infer([call_of()], _soon())
    with pytest.raises(Unavailable, match="in a row"):
        client.infer([call_of()], _soon())


def test_over_http_a_slow_server_ends_at_the_deadline() -> None:
    """A server that does not answer in time gives DeadlineExceeded."""
    done = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        done.wait(5.0)
        return good(sent)

    with serving(respond) as (url, _):
        with pytest.raises(DeadlineExceeded):
            ReplicaClient(url).infer([call_of()], time.monotonic() + 0.2)
        done.set()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, {"content-length": "5000001"}, b"{}"), TooLarge),
        (Reply(200, {}, bytes(5_000_001)), TooLarge),
        (Reply(200, {"content-length": "100", "connection": "close"}, b"{}"), ReplicaError),
        (Reply(200, {}, b"\x00\xff"), ReplicaError),
        (Reply(302, {"location": "http://127.0.0.1:1/"}, b""), ReplicaError),
        (Reply(500, {"content-length": "nonsense"}, b""), GlossaError),
    ],
    ids=["declared too large", "too large", "cut", "garbage", "redirect", "broken length"],
)
def test_over_http_bad_answers(reply: Reply, kind: type[GlossaError]) -> None:
    """An answer that is too large, incomplete or invalid is a named error. No redirect is followed."""
    with serving(lambda _: reply) as (url, _):
        client = ReplicaClient(url, pause=lambda _: None)
        with pytest.raises(kind) as raised:
            client.infer([call_of()], _soon())
    assert 400 < raised.value.status < 505


def test_a_trickle_ends_at_the_deadline() -> None:
    """A reply that arrives slowly, byte by byte, is late when its time is over."""
    clock = FakeClock()

    def respond(_: SentRequest) -> Reply:
        clock.pause(60.0)  # the body takes a minute
        return Reply(200, {}, b"x" * 10)

    with serving(respond) as (url, _), pytest.raises(ReplyLate):
        HttpTransport(url, clock=clock).send("POST", "/", {}, b"", timeout_s=5.0, max_bytes=100)
