"""Responses and errors: every form can be written and read back. What cannot be read is the server's fault."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BY_CODE, GlossaError, NotFinite, Overloaded, ReplicaError, TooLarge, Unprocessable
from shared.messages import InferCall, ModelOutput, Tensor
from shared.protocol import (
    Body,
    DecodedCall,
    RequestedOutput,
    ResponseForm,
    decode_call,
    decode_error,
    decode_output,
    encode_call,
    encode_error,
    encode_output,
)
from tests.unit.shared.protocol.strategies import LIMITS, answers, quick

CALL = InferCall("mini", "topic", Tensor.ints([0, 5, 2, 0, 2]), Tensor.ints([3, 2]))
FORM = ResponseForm(None, binary=True, outputs=None, padding=None, max_answer_bytes=1 << 20)


def request_for(**changes: Any) -> DecodedCall:
    """Return a request for all outputs, with some fields of its form changed."""
    return DecodedCall(CALL, dataclasses.replace(FORM, **changes))


def padded_request() -> DecodedCall:
    """Return a request of width 4 with a row of 3 tokens, padded right, and a row of 2, padded left."""
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [2, 4], "data": [0, 5, 2, 1, 1, 1, 0, 2]}
    mask = {**ids, "name": "attention_mask", "data": [1, 1, 1, 0, 0, 0, 1, 1]}
    body = json.dumps({"inputs": [ids, mask], "parameters": {"binary_data_output": True}})
    return decode_call("mini", {}, body.encode(), LIMITS)


@quick
@given(answers())
def test_every_answer_round_trips_in_binary(output: ModelOutput) -> None:
    """Tensors keep every bit, also NaN, and the seconds of the stages are exact."""
    body = encode_output(request_for(), "mini", "1", output)
    assert decode_output(body.headers, body.data) == output


@quick
@given(answers(finite=True))
def test_every_finite_answer_round_trips_in_json(output: ModelOutput) -> None:
    """FP32 numbers keep their value in decimal digits."""
    body = encode_output(request_for(binary=False), "mini", "1", output)
    assert set(body.headers) == {"content-type"}
    assert decode_output(body.headers, body.data) == output


def test_nan_has_no_json() -> None:
    """A number that JSON cannot express is the model's failure, not a broken body."""
    with pytest.raises(NotFinite, match="not finite"):
        encode_output(request_for(binary=False), "mini", "1", ModelOutput({"logits": Tensor.floats([math.nan])}))


def test_the_answer_names_model_revision_id_and_stages() -> None:
    """The answer has the fields of the protocol."""
    body = encode_output(
        request_for(binary=False, request_id="r-7"), "mini", "3", ModelOutput({"x": Tensor.ints([1])}, {"queue": 0.5})
    )
    expected = {
        "id": "r-7",
        "model_name": "mini",
        "model_version": "3",
        "parameters": {"queue_s": 0.5},
        "outputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}],
    }
    assert json.loads(body.data) == expected


def test_only_requested_outputs_are_sent_each_in_its_form() -> None:
    """Order and binary flags are those of the request."""
    outputs = {"a": Tensor.ints([1]), "b": Tensor.ints([2]), "c": Tensor.ints([3])}
    body = encode_output(
        request_for(outputs=(RequestedOutput("c", binary=False), RequestedOutput("a", binary=True))),
        "mini",
        "1",
        ModelOutput(outputs),
    )
    header = json.loads(body.data[: int(body.headers["inference-header-content-length"])])
    assert [(entry["name"], "data" in entry) for entry in header["outputs"]] == [("c", True), ("a", False)]


def test_an_unknown_output_is_refused_by_name() -> None:
    """The message lists the outputs that exist."""
    with pytest.raises(Unprocessable, match="no output 'x'; outputs: logits"):
        encode_output(
            request_for(outputs=(RequestedOutput("x", binary=True),)),
            "mini",
            "1",
            ModelOutput({"logits": Tensor.floats([1])}),
        )


def test_token_logits_of_a_padded_request_are_padded() -> None:
    """The logits of each token are in the column of the token, and zeros are in the other columns."""
    output = ModelOutput({"logits": Tensor.floats([1, 2, 3, 4, 5], (5, 1))})
    body = encode_output(padded_request(), "mini", "1", output, per_token={"logits"})
    logits = decode_output(body.headers, body.data).outputs["logits"]
    assert logits == Tensor.floats([1, 2, 3, 0, 0, 0, 4, 5], (2, 4, 1))


def test_other_outputs_of_a_padded_request_are_not_padded() -> None:
    """Outputs for each row or mask are not padded, even when their number equals the number of tokens."""
    outputs = {"logits": Tensor.floats([1, 2], (2, 1)), "top_ids": Tensor.ints([1, 2, 3, 4, 5], (5, 1))}
    body = encode_output(padded_request(), "mini", "1", ModelOutput(outputs))
    assert decode_output(body.headers, body.data).outputs == outputs


@pytest.mark.parametrize(("per_token", "shape"), [({"logits"}, (2, 3, 1)), ((), (2, 1))])
def test_rows_of_one_token_are_padded_where_the_output_is_per_token(
    per_token: Collection[str], shape: tuple[int, ...]
) -> None:
    """When rows and tokens are equal in number, the shape does not tell which one is meant, so `per_token` does."""
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [2, 3], "data": [5, 1, 1, 6, 1, 1]}
    body = json.dumps({"inputs": [ids, {**ids, "name": "attention_mask", "data": [1, 0, 0, 1, 0, 0]}]})
    output = ModelOutput({"logits": Tensor.floats([1, 2], (2, 1))})
    answer = encode_output(decode_call("mini", {}, body.encode(), LIMITS), "mini", "1", output, per_token=per_token)
    assert decode_output(answer.headers, answer.data).outputs["logits"].shape == shape


def test_a_per_token_output_of_another_length_is_the_servers_fault() -> None:
    """A tensor without exactly one entry for each token is not split into rows."""
    with pytest.raises(ReplicaError, match=r"shape \[2, 1\], expected one entry for each of 5 tokens"):
        encode_output(
            padded_request(), "mini", "1", ModelOutput({"logits": Tensor.floats([1, 2], (2, 1))}), per_token={"logits"}
        )


def test_an_answer_over_the_limit_is_too_large() -> None:
    """The size of padded, binary and JSON answers is checked before they are built."""
    wide = ModelOutput({"logits": Tensor.floats([0.0] * 500, (5, 100))})
    padded = padded_request()
    padded = dataclasses.replace(padded, form=dataclasses.replace(padded.form, max_answer_bytes=2400))
    with pytest.raises(TooLarge, match="padded output logits has 3200 bytes, at most 2400"):
        encode_output(padded, "mini", "1", wide, per_token={"logits"})
    with pytest.raises(TooLarge, match="got an answer of 2000 bytes up to output logits, at most 1999"):
        encode_output(request_for(max_answer_bytes=1999), "mini", "1", wide)
    with pytest.raises(TooLarge, match="10000 bytes up to output logits, JSON as 5 for one, at most 9999"):
        encode_output(request_for(binary=False, max_answer_bytes=9999), "mini", "1", wide)


@quick
@given(answers(), st.integers(0, 10_000))
def test_an_answer_cut_anywhere_is_a_replica_error(output: ModelOutput, place: int) -> None:
    """An incomplete body is never read as a complete one."""
    body = encode_output(request_for(), "mini", "1", output)
    with pytest.raises(ReplicaError):
        decode_output(body.headers, body.data[: place % len(body.data)])


@quick
@given(st.binary(max_size=200), st.none() | st.integers(0, 250))
def test_random_bytes_are_a_replica_error(data: bytes, header_bytes: int | None) -> None:
    """Random bytes from a broken server are a 502 for the caller."""
    headers = {} if header_bytes is None else {"inference-header-content-length": str(header_bytes)}
    with pytest.raises(ReplicaError):
        decode_output(headers, data)


@pytest.mark.parametrize("data", [b'{"outputs": 3}', b'{"outputs": [], "parameters": []}', b'{"outputs": [7]}'])
def test_wrong_types_are_a_replica_error(data: bytes) -> None:
    """JSON that is no answer is a 502."""
    with pytest.raises(ReplicaError):
        decode_output({}, data)


def test_a_request_is_not_an_answer() -> None:
    """A server that sends the request back gives a 502."""
    body = encode_call(CALL)
    with pytest.raises(ReplicaError):
        decode_output(body.headers, body.data)


@quick
@given(st.sampled_from(sorted(BY_CODE)), st.text(min_size=1), st.none() | st.text(min_size=1), st.none() | st.just(2.5))
def test_every_error_round_trips(code: str, message: str, hint: str | None, retry_after_s: float | None) -> None:
    """Class, message, hint and seconds to wait are kept. v2 clients find the message under `error`."""
    sent = BY_CODE[code](message, hint=hint, retry_after_s=retry_after_s)
    body = encode_error(sent)
    got = decode_error(sent.status, body.data)
    assert json.loads(body.data)["error"] == message
    assert (type(got), got.message, got.hint, got.retry_after_s) == (type(sent), message, hint, retry_after_s)


def test_retry_after_is_rounded_up_to_whole_seconds() -> None:
    """The HTTP header has no fractions, and is at least 1."""
    assert encode_error(Overloaded("full", retry_after_s=0.2)).headers["retry-after"] == "1"
    assert encode_error(Overloaded("full", retry_after_s=2.1)).headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (Body({}, b"<html>Bad gateway"), "the model server answered 502 without details"),
        (Body({}, b'{"error": "out of memory"}'), "out of memory"),
        (Body({}, b'{"error": ["x"]}'), "the model server answered 502 without details"),
        (Body({}, b""), "the model server answered 502 without details"),
    ],
)
def test_a_foreign_error_is_a_replica_error(body: Body, message: str) -> None:
    """The page of a proxy and the error of another v2 server are not taken for our errors."""
    error: GlossaError = decode_error(502, body.data)
    assert type(error) is ReplicaError
    assert error.message == message
