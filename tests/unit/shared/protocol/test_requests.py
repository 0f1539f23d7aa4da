"""Requests: both forms and every parameter are read as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DeadlineExceeded, DecodeError, Unprocessable
from shared.messages import InferCall, Tensor
from shared.protocol import TIMEOUT_HEADER, decode_call, encode_call
from tests.unit.shared.protocol.bodies import IDS, LENGTHS, decode_json, packed, padded
from tests.unit.shared.protocol.strategies import LIMITS, calls, quick, rows


@quick
@given(calls())
def test_every_call_round_trips(call: InferCall) -> None:
    """Decoding an encoded call gives an equal call."""
    body = encode_call(call)
    assert decode_call("mini", body.headers, body.data, LIMITS).call == call


@quick
@given(calls())
def test_our_own_calls_request_one_aligned_binary_body(call: InferCall) -> None:
    """Tensors start at a multiple of 16 bytes, and a binary answer is requested."""
    body = encode_call(call)
    assert int(body.headers["inference-header-content-length"]) % 16 == 0
    assert decode_call("mini", body.headers, memoryview(body.data), LIMITS).form.binary


def test_a_decoded_call_copies_no_tensor() -> None:
    """INT32 tensors are views into the body."""
    call = InferCall("mini", "topic", Tensor.ints(range(900)), Tensor.ints([100] * 9))
    body = encode_call(call)
    decoded = decode_call("mini", body.headers, body.data, LIMITS).call
    assert decoded.input_ids.data.obj is body.data


@quick
@given(rows, st.integers(0, 3), st.sampled_from(["INT32", "INT64"]), st.booleans())
def test_padded_rows_become_packed(texts: list[list[int]], extra: int, datatype: str, left: bool) -> None:  # noqa: FBT001 - drawn
    """Rows consist of the ids where the mask is 1, whether the padding is on the right or on the left."""
    width = max(map(len, texts)) + extra
    gaps = [[1] * (width - len(text)) for text in texts]
    ids = [gap + text if left else text + gap for text, gap in zip(texts, gaps, strict=True)]
    mask = [[0] * len(gap) + [1] * len(text) for text, gap in zip(texts, gaps, strict=True)]
    body = padded(ids, mask if left else [row[::-1] for row in mask], datatype)
    request = decode_json(body)
    assert request.call.input_ids.int_values().tolist() == [token for text in texts for token in text]
    assert request.call.row_lengths.int_values().tolist() == [len(text) for text in texts]
    assert request.form.padding is not None
    assert request.form.padding.width == width


def test_positions_of_padded_rows_become_positions_of_packed_tokens() -> None:
    """Row * width + column becomes the index among the packed tokens."""
    body = padded([[1, 0, 9, 2], [0, 9, 9, 1], [0, 2, 1, 1]], [[0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]])
    body["inputs"].append({"name": "positions", "datatype": "INT64", "shape": [3], "data": [2, 5, 6]})
    call = decode_json(body).call
    assert call.positions == Tensor.ints([1, 4, 5])
    assert call.positions_per_row == Tensor.ints([1, 2, 0])


@pytest.mark.parametrize("positions", [[0], [4], [-1], [12], [2**31 - 1], [6, 2]])
def test_a_padded_position_must_be_a_token_row_by_row(positions: list[int]) -> None:
    """A position of padding, one outside the tensor and rows out of order are refused."""
    body = padded([[1, 0, 9, 2], [1, 0, 9, 2]], [[0, 1, 1, 1], [0, 1, 1, 1]])
    body["inputs"].append({"name": "positions", "datatype": "INT32", "shape": [len(positions)], "data": positions})
    with pytest.raises(Unprocessable, match=r"expected row \* 4 \+ column of a token, row by row"):
        decode_json(body)


def test_parameters_are_read() -> None:
    """Each parameter sets its field of the call."""
    parameters = {
        "head": "topic", "top_k": 3, "per_token": True, "normalize": True, "priority": "batch", "tenant": "t1",
        "tokenizer": "ab", "target_ids": [7, 8], "timeout": 2_000_000, "binary_data_output": True,
    }  # fmt: skip
    request = decode_json(packed(**parameters))
    expected = InferCall(
        "mini", "topic", Tensor.ints([0, 5, 2]), Tensor.ints([3]), top_k=3, target_ids=(7, 8), per_token=True,
        normalize=True, priority="batch", tenant_hash="t1", fingerprint="ab", timeout_s=2.0,
    )  # fmt: skip
    assert request.call == expected
    assert request.form.binary


@pytest.mark.parametrize(("value", "expected"), [(0, "interactive"), (1, "interactive"), (2, "batch"), (9, "batch")])
def test_triton_priorities_map_to_ours(value: int, expected: str) -> None:
    """Triton counts priorities from 1, the most urgent. 0 is its default."""
    assert decode_json(packed(priority=value)).call.priority == expected


def test_the_shorter_timeout_counts() -> None:
    """When the header and Triton's parameter both give a timeout, the shorter one counts."""
    assert decode_json(packed(timeout=2_000_000), {TIMEOUT_HEADER: "1.5"}).call.timeout_s == 1.5
    assert decode_json(packed(timeout=2_000), {"X-Request-Timeout-Seconds": "1.5"}).call.timeout_s == 0.002


def test_a_call_without_time_left_is_not_sent() -> None:
    """Encoding refuses a call whose deadline has passed."""
    call = InferCall("mini", "", Tensor.ints([0]), Tensor.ints([1]), timeout_s=0.0)
    with pytest.raises(DeadlineExceeded, match=r"0\.000 s left"):
        encode_call(call)


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "0", "soon"])
def test_a_timeout_must_be_positive_seconds(value: str) -> None:
    """Anything but a finite positive number is refused as malformed."""
    with pytest.raises(DecodeError, match="seconds above 0"):
        decode_json(packed(), {TIMEOUT_HEADER: value})


def test_requested_outputs_and_id_are_kept() -> None:
    """The form of the answer holds the requested names, their binary flags and the request id."""
    outputs = [
        {"name": "logits", "parameters": {"binary_data": True, "classification": 3.0}},
        {"name": "x", "parameters": None},
    ]
    form = decode_json(packed() | {"id": "ré-1", "outputs": outputs}).form
    assert form.outputs == (("logits", True, 3), ("x", False, 0))
    assert form.request_id == "ré-1"


def test_null_is_left_out_and_a_number_without_a_fraction_is_whole() -> None:
    """Clients write null for what they leave out, and 1.0 for 1."""
    strange = {"head": None, "top_k": 3.0, "normalize": None, "priority": 2.0, "timeout": None}
    ids = {**IDS, "data": [float(value) for value in IDS["data"]], "parameters": None}
    body = {**packed(), "id": None, "parameters": strange, "inputs": [ids, LENGTHS]}
    plain = packed() | {"parameters": {"top_k": 3, "priority": 2}}
    assert decode_json(body) == decode_json(plain)
    assert decode_json(packed() | {"parameters": None}) == decode_json(packed())


@pytest.mark.parametrize("outputs", [None, []])
def test_no_requested_outputs_request_all(outputs: object) -> None:
    """Null and an empty list mean the same as leaving `outputs` out."""
    assert decode_json(packed() | {"outputs": outputs}).form.outputs is None
