"""Signed calls of the client: what is signed, for whom, and what happens when the server does not know the key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, SentRequest
from functions.replica.transport import Reply
from shared.call_token import TOKEN_HEADER, CallKeys, verify
from shared.errors import GlossaError, ReplicaError, Unauthenticated, Unavailable
from shared.messages import InferCall, Tensor
from tests.unit.functions.replica.world import START_S, call_of, first_ids, good, refusal

OLD = CallKeys("k1", {"k1": b"1" * 32})
NEW = CallKeys("k2", {"k1": b"1" * 32, "k2": b"2" * 32})


class Keys:
    """Keys that are given one after the other, each time the client looks again; the last ones stay."""

    def __init__(self, *given: CallKeys) -> None:
        self._left: Iterator[CallKeys] = iter(given)
        self._now = next(self._left)

    def keys(self) -> CallKeys:
        """Return the keys."""
        return self._now

    def has_other_than(self, key_id: str) -> bool:
        """Take the next keys."""
        self._now = next(self._left, self._now)
        return self._now.signing != key_id


def checking(known: CallKeys, sent: SentRequest) -> Reply:
    """Answer as a replica with these keys."""
    try:
        caller = verify(known, sent.headers.get(TOKEN_HEADER, ""), sent.method, sent.path)
        caller.check_body(sent.data)
    except GlossaError as error:
        return refusal(error)
    return Reply(200, {}, b"{}") if sent.method == "GET" else good(sent)


def signing_client(known: CallKeys, keys: Keys) -> tuple[ReplicaClient, FakeTransport]:
    """Return a client that signs with `keys`, and the transport to a replica that knows `known`."""
    transport, clock = FakeTransport(lambda sent: checking(known, sent)), FakeClock()
    client = ReplicaClient(
        "http://127.0.0.1:9", keys=keys, transport=transport, clock=clock, pause=clock.pause, jitter=lambda: 0.5
    )
    return client, transport


def test_each_call_is_signed_for_its_tenant() -> None:
    """The replica accepts the call, and its token names the tenant of the call."""
    client, transport = signing_client(OLD, Keys(OLD))
    call = InferCall("mini", "topic", Tensor.ints([7, 5, 2]), Tensor.ints([3]), tenant_hash="25bf8e1a2393f110")
    assert first_ids(client.infer([call], START_S + 20.0)) == [7.0]
    (sent,) = transport.sent
    token = sent.headers[TOKEN_HEADER]
    assert verify(OLD, token, "POST", "/v2/models/mini/infer").tenant == "25bf8e1a2393f110"


def test_statistics_are_asked_for_with_a_token_and_health_without() -> None:
    """Health is open to load balancers, so it needs no keys."""
    client, transport = signing_client(OLD, Keys(OLD))
    client.tokens_per_s("mini")
    client.ready()
    assert [TOKEN_HEADER in sent.headers for sent in transport.sent] == [True, False]


def test_a_call_is_signed_anew_when_the_server_does_not_know_the_key() -> None:
    """After a rotation the client looks for new keys once, and no call is lost."""
    client, transport = signing_client(CallKeys("k2", {"k2": b"2" * 32}), Keys(OLD, NEW))
    assert first_ids(client.infer([call_of(7)], START_S + 20.0)) == [7.0]
    assert len(transport.sent) == 2


def test_a_call_that_stays_refused_is_our_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """The caller sees a 502 that says nothing about keys; the log has the reason. It is sent once."""
    client, transport = signing_client(CallKeys("k9", {"k9": b"9" * 32}), Keys(OLD))
    with pytest.raises(ReplicaError, match="did not take the request") as raised:
        client.infer([call_of()], START_S + 20.0)
    assert raised.value.status == 502
    assert len(transport.sent) == 1
    assert '"event": "call-refused"' in capsys.readouterr().out


def test_a_bad_signature_does_not_fetch_keys_again() -> None:
    """Only an unknown key is a reason to look for other keys."""
    client, transport = signing_client(CallKeys("k1", {"k1": b"x" * 32}), Keys(OLD, NEW))
    with pytest.raises(ReplicaError):
        client.infer([call_of()], START_S + 20.0)
    assert len(transport.sent) == 1


def test_without_keys_nothing_is_sent() -> None:
    """When the keys cannot be read the request is a 503, and the circuit breaker stays closed."""

    class NoKeys(Keys):
        def keys(self) -> CallKeys:
            raise Unavailable("the keys that sign calls to the model server cannot be read", retry_after_s=1.0)

    client, transport = signing_client(OLD, NoKeys(OLD))
    for _ in range(7):
        with pytest.raises(Unavailable, match="keys"):
            client.infer([call_of()], START_S + 20.0)
    assert client.tokens_per_s("mini") is None
    assert (transport.sent, client.blocked_s("mini")) == ([], 0.0)


def test_an_unsigned_call_is_refused() -> None:
    """The fake replica of these tests refuses as the real one does."""
    reply = checking(OLD, SentRequest("POST", "/v2/models/mini/infer", {}, b"", 1.0))
    assert (reply.status, Unauthenticated.code.encode() in reply.data) == (401, True)
