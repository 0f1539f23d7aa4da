"""Requests: both forms, every parameter, and what is refused by name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DeadlineExceeded, DecodeError, GlossaError, TooLarge, Unprocessable
from shared.messages import InferCall, Sampling, Tensor
from shared.protocol import TIMEOUT, DecodedCall, decode_call, encode_call
from tests.unit.shared.protocol.strategies import LIMITS, calls, quick, rows

IDS = {"name": "input_ids", "datatype": "INT32", "shape": [3], "data": [0, 5, 2]}
LENGTHS = {"name": "row_lengths", "datatype": "INT32", "shape": [1], "data": [3]}


def ask(body: dict[str, Any], headers: dict[str, str] | None = None) -> DecodedCall:
    """Decode a JSON body."""
    return decode_call("mini", headers or {}, json.dumps(body).encode(), LIMITS)


def packed(**parameters: object) -> dict[str, Any]:
    """Return the smallest packed body."""
    return {"inputs": [IDS, LENGTHS], "parameters": parameters}


def padded(ids: list[list[int]], mask: list[list[int]], datatype: str = "INT64") -> dict[str, Any]:
    """Return a padded body with nested JSON data."""
    shape = [len(ids), len(ids[0])]
    return {
        "inputs": [
            {"name": "input_ids", "datatype": datatype, "shape": shape, "data": ids},
            {"name": "attention_mask", "datatype": datatype, "shape": shape, "data": mask},
        ]
    }


@quick
@given(calls())
def test_every_call_round_trips(call: InferCall) -> None:
    """What one side encodes the other decodes to an equal call."""
    body = encode_call(call)
    assert decode_call("mini", body.headers, body.data, LIMITS).call == call


@quick
@given(calls())
def test_our_own_calls_ask_for_one_aligned_binary_body(call: InferCall) -> None:
    """Tensors start at a multiple of 16 bytes and the answer is asked for in binary."""
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
    """Rows are taken where the mask is 1, whether the padding stands right or left."""
    width = max(map(len, texts)) + extra
    gaps = [[1] * (width - len(text)) for text in texts]
    ids = [gap + text if left else text + gap for text, gap in zip(texts, gaps, strict=True)]
    mask = [[0] * len(gap) + [1] * len(text) for text, gap in zip(texts, gaps, strict=True)]
    body = padded(ids, mask if left else [row[::-1] for row in mask], datatype)
    asked = ask(body)
    assert asked.call.input_ids.int_values().tolist() == [token for text in texts for token in text]
    assert asked.call.row_lengths.int_values().tolist() == [len(text) for text in texts]
    assert asked.form.padding is not None
    assert asked.form.padding.width == width


def test_positions_of_padded_rows_move_to_the_packed_stream() -> None:
    """Row * width + column becomes the place among the tokens that are there."""
    body = padded([[1, 0, 9, 2], [0, 9, 9, 1], [0, 2, 1, 1]], [[0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]])
    body["inputs"].append({"name": "positions", "datatype": "INT64", "shape": [3], "data": [2, 5, 6]})
    call = ask(body).call
    assert call.positions == Tensor.ints([1, 4, 5])
    assert call.positions_per_row == Tensor.ints([1, 2, 0])


@pytest.mark.parametrize("positions", [[0], [4], [-1], [12], [2**31 - 1], [6, 2]])
def test_a_padded_position_must_be_a_token_row_by_row(positions: list[int]) -> None:
    """Padding, places outside and rows out of order are refused."""
    body = padded([[1, 0, 9, 2], [1, 0, 9, 2]], [[0, 1, 1, 1], [0, 1, 1, 1]])
    body["inputs"].append({"name": "positions", "datatype": "INT32", "shape": [len(positions)], "data": positions})
    with pytest.raises(Unprocessable, match=r"expected row \* 4 \+ column of a token, row by row"):
        ask(body)


def test_parameters_are_read() -> None:
    """Each parameter lands in its field."""
    given_ = {
        "head": "topic", "top_k": 3, "per_token": True, "normalize": True, "priority": "batch", "tenant": "t1",
        "tokenizer": "ab", "target_ids": [7, 8], "timeout": 2_000_000, "binary_data_output": True,
    }  # fmt: skip
    asked = ask(packed(**given_))
    expected = InferCall(
        "mini", "topic", Tensor.ints([0, 5, 2]), Tensor.ints([3]), top_k=3, target_ids=(7, 8), per_token=True,
        normalize=True, priority="batch", tenant_hash="t1", fingerprint="ab", timeout_s=2.0,
    )  # fmt: skip
    assert asked.call == expected
    assert asked.form.binary


@pytest.mark.parametrize(("value", "expected"), [(0, "interactive"), (1, "interactive"), (2, "batch"), (9, "batch")])
def test_triton_priorities_map_to_ours(value: int, expected: str) -> None:
    """Triton's numbers count from 1, most urgent; 0 is its default."""
    assert ask(packed(priority=value)).call.priority == expected


def test_the_shorter_timeout_holds() -> None:
    """With both the header and Triton's parameter the smaller time counts."""
    assert ask(packed(timeout=2_000_000), {TIMEOUT: "1.5"}).call.timeout_s == 1.5
    assert ask(packed(timeout=2_000), {"X-Request-Timeout-Seconds": "1.5"}).call.timeout_s == 0.002


def test_a_call_without_time_left_is_not_sent() -> None:
    """Encoding refuses a deadline that has passed."""
    call = InferCall("mini", "", Tensor.ints([0]), Tensor.ints([1]), timeout_s=0.0)
    with pytest.raises(DeadlineExceeded, match=r"0\.000 s left"):
        encode_call(call)


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "0", "soon"])
def test_a_timeout_must_be_positive_seconds(value: str) -> None:
    """Anything but a finite positive number is malformed."""
    with pytest.raises(DecodeError, match="seconds above 0"):
        ask(packed(), {TIMEOUT: value})


def test_requested_outputs_and_id_are_kept() -> None:
    """The form remembers names, their binary flags and the request id."""
    outputs = [{"name": "logits", "parameters": {"binary_data": True}}, {"name": "x"}]
    form = ask(packed() | {"id": "ré-1", "outputs": outputs}).form
    assert form.outputs == (("logits", True), ("x", False))
    assert form.request_id == "ré-1"


@pytest.mark.parametrize("outputs", [None, []])
def test_no_requested_outputs_ask_for_all(outputs: object) -> None:
    """None and an empty list are as good as leaving `outputs` out."""
    assert ask(packed() | {"outputs": outputs}).form.outputs is None


REFUSED: list[tuple[str, dict[str, Any], type[GlossaError], str]] = [
    ("unknown parameter", packed(warmth=1), Unprocessable, "unknown parameter 'warmth'"),
    ("temperature", packed(temperature=0), Unprocessable, "temperature 0, expected a number above 0"),
    ("top_p", packed(top_p=1.5), Unprocessable, "top_p 1.5"),
    ("new tokens", packed(max_new_tokens=0), Unprocessable, "max_new_tokens 0, expected an integer from 1"),
    ("sequences", packed(num_return_sequences=17), Unprocessable, "num_return_sequences 17"),
    ("pooling", packed(pooling="sum"), Unprocessable, "pooling 'sum', expected mean, cls or max"),
    ("layers", packed(layers="1,x"), Unprocessable, "layers '1,x'"),
    ("layers type", packed(layers=[1]), Unprocessable, "expected at most 64 numbers such as"),
    ("unknown key", packed() | {"extra": 1}, Unprocessable, "unknown key 'extra'"),
    ("foreign model", packed() | {"model_name": "other"}, Unprocessable, "'other' at the address of model 'mini'"),
    ("unknown tensor", {"inputs": [IDS, {**LENGTHS, "name": "head_mask"}]}, Unprocessable, "'head_mask'"),
    ("float ids", {"inputs": [{**IDS, "datatype": "FP32"}, LENGTHS]}, Unprocessable, "INT32 or INT64"),
    ("tensor key", {"inputs": [{**IDS, "device": 1}, LENGTHS]}, Unprocessable, "unknown key 'device'"),
    ("tensor parameter", {"inputs": [{**IDS, "parameters": {"shared_memory_region": "x"}}]}, Unprocessable, "shared_"),
    ("head number", packed(head=3), Unprocessable, "got head 3"),
    ("head unprintable", packed(head="a\nb"), Unprocessable, "printable"),
    ("head surrogate", packed(head="\ud800"), Unprocessable, "printable"),
    ("tenant long", packed(tenant="x" * 129), Unprocessable, "at most 128"),
    ("top_k 0", packed(top_k=0), Unprocessable, "got top_k 0"),
    ("top_k true", packed(top_k=True), Unprocessable, "got top_k True"),
    ("top_k huge", packed(top_k=10**300), Unprocessable, "integer of 997 bits"),
    ("flag number", packed(normalize=1), Unprocessable, "true or false"),
    ("priority", packed(priority="urgent"), Unprocessable, "got priority 'urgent'"),
    ("priority below", packed(priority=-1), Unprocessable, "got priority -1"),
    ("target text", packed(target_ids=["a"]), Unprocessable, "list of integers"),
    ("target range", packed(target_ids=[1000]), Unprocessable, "got 1000 in target_ids, expected 0 to 999"),
    ("targets many", packed(target_ids=[1] * 1001), TooLarge, "1001 target_ids, at most 1000"),
    ("parameters list", packed() | {"parameters": []}, DecodeError, "expected an object"),
    ("no ids", {"inputs": [LENGTHS]}, Unprocessable, "no input_ids"),
    ("no lengths", {"inputs": [IDS]}, Unprocessable, "without row_lengths"),
    ("no inputs", {}, DecodeError, "expected a list"),
    ("tensor twice", {"inputs": [IDS, IDS, LENGTHS]}, DecodeError, "'input_ids' is there twice"),
    ("ids out of range", {"inputs": [{**IDS, "data": [0, 1000, 2]}, LENGTHS]}, Unprocessable, "got 1000 in input_ids"),
    ("ids negative", {"inputs": [{**IDS, "data": [0, -1, 2]}, LENGTHS]}, Unprocessable, "got -1 in input_ids at 1"),
    ("ids beyond int32", {"inputs": [{**IDS, "data": [0, 2**40, 2]}, LENGTHS]}, Unprocessable, "beyond INT32"),
    ("ids floats", {"inputs": [{**IDS, "data": [0, 1.0, 2]}, LENGTHS]}, DecodeError, "holds a float"),
    ("ids strings", {"inputs": [{**IDS, "data": ["0", 1, 2]}, LENGTHS]}, DecodeError, "holds a str"),
    ("ids true", {"inputs": [{**IDS, "data": [True, 1, 2]}, LENGTHS]}, DecodeError, "holds a bool"),
    ("ids short", {"inputs": [{**IDS, "data": [0, 1]}, LENGTHS]}, DecodeError, "has 2 items, its shape makes 3"),
    ("data text", {"inputs": [{**IDS, "data": "abc"}, LENGTHS]}, DecodeError, "expected a list"),
    ("no data", {"inputs": [{k: v for k, v in IDS.items() if k != "data"}]}, DecodeError, "either data or"),
    ("shape missing", {"inputs": [{**IDS, "shape": None}]}, DecodeError, "no shape"),
    ("shape huge", {"inputs": [{**IDS, "shape": [2**40]}]}, DecodeError, "dimension 1099511627776"),
    ("shape negative", {"inputs": [{**IDS, "shape": [-3]}]}, DecodeError, "dimension -3"),
    ("shape deep", {"inputs": [{**IDS, "shape": [1, 1, 1, 1, 3]}]}, DecodeError, "1 to 4 dimensions"),
    ("ids 3-d", {"inputs": [{**IDS, "shape": [1, 1, 3]}, LENGTHS]}, Unprocessable, "3 dimensions"),
    ("lengths 2-d", {"inputs": [IDS, {**LENGTHS, "shape": [1, 1]}]}, Unprocessable, "expected [rows]"),
    ("lengths sum", {"inputs": [IDS, {**LENGTHS, "data": [2]}]}, Unprocessable, "sum to 2, expected 3"),
    ("row empty", {"inputs": [IDS, {**LENGTHS, "shape": [2], "data": [3, 0]}]}, Unprocessable, "row 1 of 0 tokens"),
    ("row negative", {"inputs": [IDS, {**LENGTHS, "shape": [2], "data": [4, -1]}]}, Unprocessable, "row 1 of -1"),
    ("no rows", {"inputs": [{**IDS, "shape": [0], "data": []}, {**LENGTHS, "shape": [0], "data": []}]}, Unprocessable,
     "got 0 rows"),
    ("mask when packed", {"inputs": [IDS, LENGTHS, {**IDS, "name": "attention_mask"}]}, Unprocessable, "row_lengths"),
    ("padded without mask", {"inputs": [{**IDS, "shape": [1, 3]}]}, Unprocessable, "without attention_mask"),
    ("padded with lengths", {"inputs": [{**IDS, "shape": [1, 3]}, LENGTHS]}, Unprocessable, "got row_lengths with"),
    ("mask hole", padded([[0, 5, 2]], [[1, 0, 1]]), Unprocessable, "has a hole"),
    ("mask empty", padded([[0, 5, 2]], [[0, 0, 0]]), Unprocessable, "is all 0"),
    ("mask value", padded([[0, 5, 2]], [[1, 2, 0]]), Unprocessable, "got 2 in row 0"),
    ("mask shape", {"inputs": [{**IDS, "shape": [1, 3]}, {**IDS, "name": "attention_mask", "shape": [3, 1]}]},
     Unprocessable, "expected [1, 3]"),
    ("nested ragged", padded([[0, 5, 2], [0, 5]], [[1, 1, 1], [1, 1, 1]]), DecodeError, "not of its shape"),
    ("positions alone", {"inputs": [IDS, LENGTHS, {**LENGTHS, "name": "positions"}]}, Unprocessable, "both or none"),
    ("lang_ids short", {"inputs": [IDS, LENGTHS, {**LENGTHS, "name": "lang_ids"}]}, Unprocessable, "expected [3]"),
    ("output twice", packed() | {"outputs": [{"name": "x"}, {"name": "x"}]}, DecodeError, "requested twice"),
    ("output classes", packed() | {"outputs": [{"name": "x", "parameters": {"classification": 3}}]}, Unprocessable,
     "'classification'"),
    ("output flag", packed() | {"outputs": [{"name": "x", "parameters": {"binary_data": 1}}]}, Unprocessable,
     "not true or false"),
    ("output nameless", packed() | {"outputs": [{}]}, DecodeError, "without a name"),
    *(
        ("outputs falsy", packed() | {"outputs": wrong}, DecodeError, "expected a list of objects")
        for wrong in ({}, "", 0, False)
    ),
    ("lone surrogate", packed() | {"id": "r\ud800-1"}, Unprocessable,
     "got the lone surrogate U+D800 at character 1 of id, expected well-formed Unicode"),
    ("outputs object", packed() | {"outputs": {"name": "x"}}, DecodeError, "expected a list"),
    ("id number", packed() | {"id": 7}, DecodeError, "got id 7"),
    ("id long", packed() | {"id": "x" * 257}, DecodeError, "at most 256"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_wrong_request_is_refused_by_name(body: dict[str, Any], kind: type[GlossaError], words: str) -> None:
    """The class says whose fault it is, the message names the thing and what was expected."""
    with pytest.raises(kind) as caught:
        ask(body)
    assert words in caught.value.message
    assert type(caught.value) is kind


POSITIONS = [
    ([3], [1, 0], "got position 3 for row 0, expected 0 to 2"),
    ([2], [0, 1], "got position 2 for row 1, expected 3 to 4"),
    ([-1], [1, 0], "got position -1 for row 0"),
    ([1, 1], [2, 0], "row 0 names a position twice"),
    ([1], [2, 0], "sum to 2, expected 1"),
    ([1], [2, -1], "sum to 1, expected 1"),
    ([1], [1], "expected [positions] and [2]"),
]


@pytest.mark.parametrize(("positions", "counts", "words"), POSITIONS)
def test_positions_lie_in_their_own_row(positions: list[int], counts: list[int], words: str) -> None:
    """A position outside its row would read a neighbour's text."""
    call = InferCall(
        "mini", "", Tensor.ints([0, 5, 2, 0, 2]), Tensor.ints([3, 2]),
        positions=Tensor.ints(positions), positions_per_row=Tensor.ints(counts),
    )  # fmt: skip
    body = encode_call(call)
    with pytest.raises(Unprocessable) as caught:
        decode_call("mini", body.headers, body.data, LIMITS)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("lengths", "limits", "words"),
    [
        ([1] * 65, LIMITS, "got 65 rows, at most 64"),
        ([129], LIMITS, "got row 0 of 129 tokens, at most 128"),
        ([100] * 11, LIMITS, "got 1100 tokens, at most 1024"),
        ([100] * 9, dataclasses.replace(LIMITS, max_body_bytes=1000), "bytes, at most 1000"),
    ],
)
def test_limits_hold(lengths: list[int], limits: Any, words: str) -> None:
    """Too many rows, tokens or bytes are a 413 that says how many are taken."""
    body = encode_call(InferCall("mini", "", Tensor.ints([5] * sum(lengths)), Tensor.ints(lengths)))
    with pytest.raises(TooLarge) as caught:
        decode_call("mini", body.headers, body.data, limits)
    assert words in caught.value.message


def test_rows_to_continue_count_once_a_sequence() -> None:
    """Each continuation is a row of its own to whoever answers: together they keep to the bound of rows."""
    body = encode_call(
        InferCall("mini", "", Tensor.ints([5] * 5), Tensor.ints([1] * 5), sampling=Sampling(num_return_sequences=13))
    )
    with pytest.raises(TooLarge, match="got 5 rows of 13 sequences each, at most 64 together"):
        decode_call("mini", body.headers, body.data, LIMITS)


def test_an_answer_too_large_to_send_is_refused_before_the_pass() -> None:
    """Positions times top_k times item bytes may not pass the answer's limit."""
    call = InferCall(
        "mini", "", Tensor.ints([5] * 50), Tensor.ints([50]), top_k=1000,
        positions=Tensor.ints(range(50)), positions_per_row=Tensor.ints([50]),
    )  # fmt: skip
    body = encode_call(call)
    with pytest.raises(TooLarge, match="an answer of 400000 bytes, at most 1000"):
        decode_call("mini", body.headers, body.data, dataclasses.replace(LIMITS, max_answer_bytes=1000))
