"""Requests that are refused: each error names what is wrong and what was expected."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from shared.errors import DecodeError, GlossaError, TooLarge, Unprocessable
from shared.messages import InferCall, Sampling, Tensor
from shared.protocol import decode_call, encode_call
from tests.unit.shared.protocol.bodies import IDS, LENGTHS, decode_json, packed, padded
from tests.unit.shared.protocol.strategies import LIMITS

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
    ("ids floats", {"inputs": [{**IDS, "data": [0, 1.5, 2]}, LENGTHS]}, DecodeError, "holds a float"),
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
    ("output classes", packed() | {"outputs": [{"name": "x", "parameters": {"classification": -1}}]}, Unprocessable,
     "classification -1, expected a number of classes from 0 to 1000"),
    ("output shared memory", packed() | {"outputs": [{"name": "x", "parameters": {"shared_memory_region": "a"}}]},
     Unprocessable, "'shared_memory_region'"),
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
    """The error has the right class, and its message names what is wrong and what was expected."""
    with pytest.raises(kind) as caught:
        decode_json(body)
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
def test_positions_must_be_in_their_own_row(positions: list[int], counts: list[int], words: str) -> None:
    """A position outside its row is refused, because it would read the text of another row."""
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
    """Too many rows, tokens or bytes are a 413 that says how many are allowed."""
    body = encode_call(InferCall("mini", "", Tensor.ints([5] * sum(lengths)), Tensor.ints(lengths)))
    with pytest.raises(TooLarge) as caught:
        decode_call("mini", body.headers, body.data, limits)
    assert words in caught.value.message


def test_continued_rows_count_once_for_each_sequence() -> None:
    """Each continuation is computed as a row of its own, so all of them count towards the limit of rows."""
    body = encode_call(
        InferCall("mini", "", Tensor.ints([5] * 5), Tensor.ints([1] * 5), sampling=Sampling(num_return_sequences=13))
    )
    with pytest.raises(TooLarge, match="got 5 rows of 13 sequences each, at most 64 together"):
        decode_call("mini", body.headers, body.data, LIMITS)


def test_an_answer_too_large_to_send_is_refused_before_the_forward_pass() -> None:
    """Positions times top_k times the bytes of an item must not exceed the limit of the answer."""
    call = InferCall(
        "mini", "", Tensor.ints([5] * 50), Tensor.ints([50]), top_k=1000,
        positions=Tensor.ints(range(50)), positions_per_row=Tensor.ints([50]),
    )  # fmt: skip
    body = encode_call(call)
    with pytest.raises(TooLarge, match="an answer of 400000 bytes, at most 1000"):
        decode_call("mini", body.headers, body.data, dataclasses.replace(LIMITS, max_answer_bytes=1000))
