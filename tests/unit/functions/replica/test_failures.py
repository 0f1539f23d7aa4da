"""The meaning of failed calls: the error that the caller of the client sees."""

from __future__ import annotations

import json

import pytest

from functions.replica.failures import NoReply
from functions.replica.transport import Reply, ReplyLate
from shared.errors import (
    BY_CODE,
    BY_STATUS,
    DeadlineExceeded,
    GlossaError,
    MethodNotAllowed,
    ReplicaError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    UnknownCallKey,
)
from tests.unit.functions.replica.world import START_S, call_of, client_for, refusal, then_good


def test_a_missing_reply_does_not_replace_the_general_error_of_its_code() -> None:
    """NoReply has the code and status of DeadlineExceeded, and is in neither table of error classes."""
    assert BY_CODE[NoReply.code] is not NoReply
    assert BY_STATUS[NoReply.status] is not NoReply


OF_THE_CALL = {
    "method-not-allowed",
    "too-slow",
    "unauthenticated",
    "unknown-call-key",
}  # errors about the request of this client, which its caller did not make


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - {"internal", "replica-error"} - OF_THE_CALL))
def test_errors_of_the_replica_come_back_as_they_were(code: str) -> None:
    """Each error of our tree keeps its class, message, hint and seconds to wait."""
    error = BY_CODE[code]("got this, expected that", hint="so", retry_after_s=30.0)
    client, transport = client_for(lambda _: refusal(error))
    with pytest.raises(type(error), match="got this") as raised:
        client.infer([call_of()], START_S + 20.0)
    assert type(raised.value) is type(error)
    spread = (
        1.15 if code == "unavailable" else 1.0
    )  # so that not all callers of a model that is away come back together
    assert (raised.value.hint, raised.value.retry_after_s) == ("so", pytest.approx(30.0 * spread))
    assert len(transport.sent) == 1  # a wait of 30 s does not fit


def test_an_internal_error_of_the_replica_is_neither_retried_nor_quoted() -> None:
    """A 500 that the replica itself sends becomes a 502 without its message, and is not retried."""
    client, transport = client_for(lambda _: refusal(GlossaError("secret")))
    with pytest.raises(ReplicaError, match="failed at this request"):
        client.infer([call_of()], START_S + 20.0)
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (ReplyLate("late"), DeadlineExceeded),
        (Reply(408, {}, b"Request timed out"), DeadlineExceeded),
        (Reply(504, {}, b""), DeadlineExceeded),
        (refusal(TooSlow("the body did not come")), DeadlineExceeded),
        (refusal(MethodNotAllowed("got POST", ["GET"])), ReplicaError),
        (refusal(Unauthenticated("got no token")), ReplicaError),
        (refusal(UnknownCallKey("got a token of key k9")), ReplicaError),
        (Reply(413, {}, b"too big"), TooLarge),
        (Reply(404, {}, b"Path not found"), ReplicaError),
        (Reply(302, {"location": "http://elsewhere"}, b""), ReplicaError),
        (Reply(200, {}, b"not an answer"), ReplicaError),
        (Reply(200, {"inference-header-content-length": "9999"}, b"{}"), ReplicaError),
        (Reply(200, {}, b'{"outputs": [{"name": "x", "datatype": "FP32", "shape": [9], "data": [1]}]}'), ReplicaError),
        (Reply(400, {}, json.dumps({"code": "no-such-code", "detail": 3}).encode()), ReplicaError),
    ],
    ids=repr,
)
def test_other_failures_are_named_and_not_repeated(outcome: Reply | Exception, kind: type[GlossaError]) -> None:
    """Timeouts are 504, unreadable replies are 502, and neither is retried."""
    client, transport = client_for(then_good(outcome))
    with pytest.raises(kind):
        client.infer([call_of()], START_S + 20.0)
    assert len(transport.sent) == 1


def test_an_answer_too_large_points_to_a_batch_job() -> None:
    """An answer over the limit is a 413 with a hint, and does not count as a failure of the server."""
    client, _ = client_for(lambda _: Reply(200, {}, bytes(5_000_001)))
    for _ in range(8):  # more than the threshold of the circuit breaker
        with pytest.raises(TooLarge) as raised:
            client.infer([call_of()], START_S + 20.0)
        assert "/v1/jobs" in str(raised.value.hint)
