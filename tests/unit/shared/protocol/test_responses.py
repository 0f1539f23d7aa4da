"""Responses and errors: every form round-trips, and what cannot be read is the server's fault."""

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
    Form,
    decode_call,
    decode_error,
    decode_output,
    encode_call,
    encode_error,
    encode_output,
)
from tests.unit.shared.protocol.strategies import LIMITS, answers, quick

CALL = InferCall("mini", "topic", Tensor.ints([0, 5, 2, 0, 2]), Tensor.ints([3, 2]))
FORM = Form(None, binary=True, outputs=None, padding=None, max_answer_bytes=1 << 20)


def asked(**changes: Any) -> DecodedCall:
    """Return a request for everything, with its form changed."""
    return DecodedCall(CALL, dataclasses.replace(FORM, **changes))


def from_padded() -> DecodedCall:
    """Return a padded request of rows of 3 (right padded) and 2 (left padded) in a width of 4."""
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [2, 4], "data": [0, 5, 2, 1, 1, 1, 0, 2]}
    mask = {**ids, "name": "attention_mask", "data": [1, 1, 1, 0, 0, 0, 1, 1]}
    body = json.dumps({"inputs": [ids, mask], "parameters": {"binary_data_output": True}})
    return decode_call("mini", {}, body.encode(), LIMITS)


@quick
@given(answers())
def test_every_answer_round_trips_in_binary(inferred: ModelOutput) -> None:
    """Tensors come back bit by bit, NaN included, and stage seconds exactly."""
    body = encode_output(asked(), "mini", "1", inferred)
    assert decode_output(body.headers, body.data) == inferred


@quick
@given(answers(finite=True))
def test_every_finite_answer_round_trips_in_json(inferred: ModelOutput) -> None:
    """FP32 survives its decimal digits."""
    body = encode_output(asked(binary=False), "mini", "1", inferred)
    assert set(body.headers) == {"content-type"}
    assert decode_output(body.headers, body.data) == inferred


def test_nan_has_no_json() -> None:
    """A number JSON cannot hold is the model's failure, not a broken body."""
    with pytest.raises(NotFinite, match="not finite"):
        encode_output(asked(binary=False), "mini", "1", ModelOutput({"logits": Tensor.floats([math.nan])}))


def test_the_answer_names_model_revision_id_and_stages() -> None:
    """A v2 client finds the fields of the protocol."""
    body = encode_output(
        asked(binary=False, request_id="r-7"), "mini", "3", ModelOutput({"x": Tensor.ints([1])}, {"queue": 0.5})
    )
    expected = {
        "id": "r-7",
        "model_name": "mini",
        "model_version": "3",
        "parameters": {"queue_s": 0.5},
        "outputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}],
    }
    assert json.loads(body.data) == expected


def test_only_requested_outputs_come_each_its_way() -> None:
    """Order and binary flags are the caller's."""
    outputs = {"a": Tensor.ints([1]), "b": Tensor.ints([2]), "c": Tensor.ints([3])}
    body = encode_output(asked(outputs=(("c", False), ("a", True))), "mini", "1", ModelOutput(outputs))
    header = json.loads(body.data[: int(body.headers["inference-header-content-length"])])
    assert [(entry["name"], "data" in entry) for entry in header["outputs"]] == [("c", True), ("a", False)]


def test_an_unknown_output_is_refused_by_name() -> None:
    """The message says which outputs there are."""
    with pytest.raises(Unprocessable, match="no output 'x'; outputs: logits"):
        encode_output(asked(outputs=(("x", True),)), "mini", "1", ModelOutput({"logits": Tensor.floats([1])}))


def test_token_logits_of_a_padded_request_are_padded_alike() -> None:
    """Each token's logits stand in its own column, zeros elsewhere."""
    inferred = ModelOutput({"logits": Tensor.floats([1, 2, 3, 4, 5], (5, 1))})
    body = encode_output(from_padded(), "mini", "1", inferred, per_token={"logits"})
    logits = decode_output(body.headers, body.data).outputs["logits"]
    assert logits == Tensor.floats([1, 2, 3, 0, 0, 0, 4, 5], (2, 4, 1))


def test_other_outputs_of_a_padded_request_stay() -> None:
    """What is per row or per mask has nothing to pad, though there be as many as tokens."""
    outputs = {"logits": Tensor.floats([1, 2], (2, 1)), "top_ids": Tensor.ints([1, 2, 3, 4, 5], (5, 1))}
    body = encode_output(from_padded(), "mini", "1", ModelOutput(outputs))
    assert decode_output(body.headers, body.data).outputs == outputs


@pytest.mark.parametrize(("per_token", "shape"), [({"logits"}, (2, 3, 1)), ((), (2, 1))])
def test_rows_of_one_token_are_padded_where_the_output_is_per_token(
    per_token: Collection[str], shape: tuple[int, ...]
) -> None:
    """Where rows and tokens are as many, the shape cannot tell them apart; the caller does."""
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [2, 3], "data": [5, 1, 1, 6, 1, 1]}
    body = json.dumps({"inputs": [ids, {**ids, "name": "attention_mask", "data": [1, 0, 0, 1, 0, 0]}]})
    inferred = ModelOutput({"logits": Tensor.floats([1, 2], (2, 1))})
    answer = encode_output(decode_call("mini", {}, body.encode(), LIMITS), "mini", "1", inferred, per_token=per_token)
    assert decode_output(answer.headers, answer.data).outputs["logits"].shape == shape


def test_a_per_token_output_of_another_length_is_the_servers_fault() -> None:
    """Rows are never cut out of a tensor that has not one entry for each token."""
    with pytest.raises(ReplicaError, match=r"shape \[2, 1\], expected one entry for each of 5 tokens"):
        encode_output(
            from_padded(), "mini", "1", ModelOutput({"logits": Tensor.floats([1, 2], (2, 1))}), per_token={"logits"}
        )


def test_an_answer_over_the_limit_is_too_large() -> None:
    """Padded, binary and JSON answers are measured before they are built."""
    wide = ModelOutput({"logits": Tensor.floats([0.0] * 500, (5, 100))})
    padded = from_padded()
    padded = dataclasses.replace(padded, form=dataclasses.replace(padded.form, max_answer_bytes=2400))
    with pytest.raises(TooLarge, match="padded output logits has 3200 bytes, at most 2400"):
        encode_output(padded, "mini", "1", wide, per_token={"logits"})
    with pytest.raises(TooLarge, match="got an answer of 2000 bytes up to output logits, at most 1999"):
        encode_output(asked(max_answer_bytes=1999), "mini", "1", wide)
    with pytest.raises(TooLarge, match="10000 bytes up to output logits, JSON as 5 for one, at most 9999"):
        encode_output(asked(binary=False, max_answer_bytes=9999), "mini", "1", wide)


@quick
@given(answers(), st.integers(0, 10_000))
def test_an_answer_cut_anywhere_is_a_replica_error(inferred: ModelOutput, place: int) -> None:
    """A shorter body is never read as a whole one."""
    body = encode_output(asked(), "mini", "1", inferred)
    with pytest.raises(ReplicaError):
        decode_output(body.headers, body.data[: place % len(body.data)])


@quick
@given(st.binary(max_size=200), st.none() | st.integers(0, 250))
def test_noise_is_a_replica_error(data: bytes, header_bytes: int | None) -> None:
    """Whatever a broken server sends, the caller sees a 502."""
    headers = {} if header_bytes is None else {"inference-header-content-length": str(header_bytes)}
    with pytest.raises(ReplicaError):
        decode_output(headers, data)


@pytest.mark.parametrize("data", [b'{"outputs": 3}', b'{"outputs": [], "parameters": []}', b'{"outputs": [7]}'])
def test_wrong_types_are_a_replica_error(data: bytes) -> None:
    """JSON that is not an answer is not one."""
    with pytest.raises(ReplicaError):
        decode_output({}, data)


def test_a_request_is_not_an_answer() -> None:
    """An echo server is not a model."""
    body = encode_call(CALL)
    with pytest.raises(ReplicaError):
        decode_output(body.headers, body.data)


@quick
@given(st.sampled_from(sorted(BY_CODE)), st.text(min_size=1), st.none() | st.text(min_size=1), st.none() | st.just(2.5))
def test_every_error_round_trips(code: str, message: str, hint: str | None, retry_after_s: float | None) -> None:
    """Class, message, hint and seconds survive; v2 clients find `error`."""
    sent = BY_CODE[code](message, hint=hint, retry_after_s=retry_after_s)
    body = encode_error(sent)
    got = decode_error(sent.status, body.data)
    assert json.loads(body.data)["error"] == message
    assert (type(got), got.message, got.hint, got.retry_after_s) == (type(sent), message, hint, retry_after_s)


def test_retry_after_is_whole_seconds_up() -> None:
    """The HTTP header has no fractions and never says now."""
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
    """A proxy's page and another v2 server's error are told apart from ours."""
    error: GlossaError = decode_error(502, body.data)
    assert type(error) is ReplicaError
    assert error.message == message
