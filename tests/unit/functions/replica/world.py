"""What tests of the replica client share: calls, and replies of a working server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeClock, FakeTransport, SentRequest, in_turn
from functions.replica.transport import Reply
from shared.errors import (
    GlossaError,
)
from shared.messages import InferCall, ModelOutput, Tensor
from shared.protocol import CallLimits, decode_call, encode_error, encode_output

LIMITS = CallLimits(max_body_bytes=2**20, max_rows=64, max_tokens=4096, max_row_tokens=512, vocab_size=1000)
START_S = FakeClock().now_s


def call_of(first_id: int = 0, model: str = "mini") -> InferCall:
    """Return a call of three tokens that begins with `first_id`."""
    return InferCall(model, "topic", Tensor.ints([first_id, 5, 2]), Tensor.ints([3]))


def is_probe(sent: SentRequest) -> bool:
    """Whether a request asks if a model is ready."""
    return sent.method == "GET" and sent.path.endswith("/ready")


def good(sent: SentRequest) -> Reply:
    """Return an answer whose only logit is the first id of the request."""
    decoded = decode_call("mini", sent.headers, sent.data, LIMITS)
    logits = Tensor.floats([float(decoded.call.input_ids.int_values()[0])], (1, 1))
    body = encode_output(decoded, "mini", "1", ModelOutput({"logits": logits}, {"queue": 0.25, "infer": 0.5}))
    return Reply(200, body.headers, body.data)


def refusal(error: GlossaError) -> Reply:
    """Return the reply that a replica sends for an error."""
    body = encode_error(error)
    return Reply(error.status, body.headers, body.data)


def then_good(*outcomes: Reply | Exception) -> Callable[[SentRequest], Reply]:
    """Return a function that gives the outcomes one after the other, and then good answers."""
    first = in_turn(outcomes)
    left = len(outcomes)

    def respond(sent: SentRequest) -> Reply:
        nonlocal left
        left -= 1
        return first(sent) if left >= 0 else good(sent)

    return respond


def client_for(
    respond: Callable[[SentRequest], Reply], clock: FakeClock | None = None
) -> tuple[ReplicaClient, FakeTransport]:
    """Return a client over a fake transport, and the transport."""
    transport, clock = FakeTransport(respond), clock or FakeClock()
    client = ReplicaClient(
        "http://127.0.0.1:9", transport=transport, clock=clock, pause=clock.pause, jitter=lambda: 0.5
    )
    return client, transport


def first_ids(answers: Sequence[ModelOutput]) -> list[float]:
    """Return the first logit of each answer."""
    return [answer.outputs["logits"].float_values()[0] for answer in answers]
