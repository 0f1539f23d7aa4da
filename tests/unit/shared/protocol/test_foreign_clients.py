"""Bytes recorded from other clients of the protocol: the requests they send, and answers that they read."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from shared.messages import ModelOutput, Tensor
from shared.protocol import decode_call, encode_output
from tests.unit.shared.protocol.strategies import LIMITS

EXCHANGES = json.loads((Path(__file__).parent / "golden" / "foreign_clients.json").read_text("utf-8"))["exchanges"]
ANSWER = ModelOutput({"logits": Tensor.floats([i / 4 for i in range(14)], (7, 2))}, {"queue": 0.25, "infer": 0.5})


@pytest.mark.parametrize("exchange", EXCHANGES, ids=[exchange["name"] for exchange in EXCHANGES])
def test_foreign_requests_are_read_and_answered_as_recorded(exchange: dict[str, Any]) -> None:
    """The body of every client gives the same two rows. Our answer is the one that those clients parsed."""
    request, response = exchange["request"], exchange["response"]
    decoded = decode_call("mini", request["headers"], base64.b64decode(request["body_base64"]), LIMITS)
    assert decoded.call.input_ids.int_values().tolist() == [0, 5, 6, 2, 0, 7, 2]
    assert decoded.call.row_lengths.int_values().tolist() == [4, 3]
    body = encode_output(decoded, "mini", "1", ANSWER, per_token={"logits"})
    assert body.headers == response["headers"]
    assert body.data == base64.b64decode(response["body_base64"])
