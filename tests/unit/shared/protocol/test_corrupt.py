"""Corrupt request bodies: each is refused with a 4xx error, before much memory is allocated."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DecodeError, GlossaError, TooLarge, Unprocessable
from shared.messages import InferCall, Tensor
from shared.protocol import HEADER_LENGTH, decode_call, encode_call
from tests.unit.shared.protocol.strategies import LIMITS, calls, quick

CLIENT_ERRORS = (DecodeError, TooLarge, Unprocessable)  # 400, 413, 422

CALL = InferCall(
    "mini", "topic", Tensor.ints([0, 5, 2, 0, 2]), Tensor.ints([3, 2]), lang_ids=Tensor.ints([0] * 5),
    positions=Tensor.ints([1]), positions_per_row=Tensor.ints([1, 0]), target_ids=(4,),
)  # fmt: skip


def refuse(headers: dict[str, str], data: bytes) -> GlossaError:
    """Decode a body that must be refused with a 4xx, and check how much memory that took."""
    tracemalloc.start()
    try:
        with pytest.raises(CLIENT_ERRORS) as caught:
            decode_call("mini", headers, data, LIMITS)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 400 <= caught.value.status < 500
    assert peak_bytes <= 24 * len(data) + 200_000
    assert len(caught.value.message) < 500
    return caught.value


def with_json(header: object, binary: bytes = b"") -> tuple[dict[str, str], bytes]:
    """Return the headers and the data of a body with any JSON and bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return {HEADER_LENGTH: str(len(text))}, text + binary


def entry(name: str, shape: list[object], size: object, datatype: str = "INT32") -> dict[str, object]:
    """Return the JSON entry of a binary tensor."""
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_a_body_cut_short_anywhere_is_refused() -> None:
    """No shorter part of a body is accepted."""
    body = encode_call(CALL)
    for end in range(len(body.data)):
        refuse(dict(body.headers), body.data[:end])


@pytest.mark.parametrize("shape", [[0, 0], [0, 5], [5, 0]])
def test_a_padded_form_without_cells_is_refused(shape: list[object]) -> None:
    """No rows, or rows without columns, are the caller's error, whatever positions the request names."""
    inputs = [entry("input_ids", shape, 0), entry("attention_mask", shape, 0), entry("positions", [1], 4)]
    refuse(*with_json({"inputs": inputs}, bytes(4)))


def test_a_body_with_more_bytes_is_refused() -> None:
    """Bytes that no tensor declares are not ignored."""
    body = encode_call(CALL)
    assert "but its tensors declare" in refuse(dict(body.headers), body.data + b"\0").message


@quick
@given(calls(), st.data())
def test_flipped_bytes_are_refused_or_make_another_valid_call(call: InferCall, data: st.DataObject) -> None:
    """A damaged body is a 4xx error, or else a call within all limits that can be encoded again."""
    body = encode_call(call)
    broken = bytearray(body.data)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with suppress(*CLIENT_ERRORS):
        found = decode_call("mini", body.headers, bytes(broken), LIMITS).call
        assert sum(found.row_lengths.int_values()) == found.n_tokens
        again = encode_call(found)
        assert decode_call("mini", again.headers, again.data, LIMITS).call == found


@quick
@given(st.binary(max_size=300), st.none() | st.integers(0, 400))
def test_random_bytes_are_refused(data: bytes, header_bytes: int | None) -> None:
    """Random bytes with any header length are a 4xx error."""
    refuse({} if header_bytes is None else {HEADER_LENGTH: str(header_bytes)}, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@quick
@given(JSON, st.sampled_from(["inputs", "parameters", "outputs", "id", "model_name"]), st.booleans())
def test_any_json_in_any_place_is_read_or_refused(value: object, key: str, within: bool) -> None:  # noqa: FBT001 - drawn
    """Any JSON value gives a call or a 4xx error, nothing else."""
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [1], "data": [5]}
    lengths = {"name": "row_lengths", "datatype": "INT32", "shape": [1], "data": [1]}
    body = {"inputs": [ids, lengths]} | {key: [value] if within else value}
    with suppress(*CLIENT_ERRORS):
        decode_call("mini", {}, json.dumps(body).encode(), LIMITS)


@quick
@given(JSON, st.sampled_from(["name", "datatype", "shape", "parameters", "data"]))
def test_any_json_in_a_tensor_is_read_or_refused(value: object, key: str) -> None:
    """The same holds inside the entry of a tensor."""
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [1], "data": [5]} | {key: value}
    lengths = {"name": "row_lengths", "datatype": "INT32", "shape": [1], "data": [1]}
    with suppress(*CLIENT_ERRORS):
        decode_call("mini", {}, json.dumps({"inputs": [ids, lengths]}).encode(), LIMITS)


DECLARATIONS: list[tuple[str, list[dict[str, object]], bytes, str]] = [
    ("huge shape", [entry("input_ids", [2**40], 2**42)], b"\0" * 4, "dimension 1099511627776"),
    ("huge product", [entry("input_ids", [2**31 - 1, 2**31 - 1], 8)], b"\0" * 8, "its shape and datatype make"),
    ("huge size", [entry("input_ids", [2**30], 2**32)], b"\0" * 4, "the body is cut"),
    ("negative shape", [entry("input_ids", [-1], -4)], b"\0" * 4, "dimension -1"),
    ("two negatives", [entry("input_ids", [-1, -1], 4)], b"\0" * 4, "dimension -1"),
    ("fraction", [entry("input_ids", [1.0], 4)], b"\0" * 4, "dimension 1.0"),
    ("true", [entry("input_ids", [True], 4)], b"\0" * 4, "dimension True"),
    ("size of another shape", [entry("input_ids", [2], 4)], b"\0" * 8, "declares 4 bytes"),
    ("size of another type", [entry("input_ids", [1], 4, "INT64")], b"\0" * 4, "make 8"),
    ("negative size", [entry("input_ids", [1], -4)], b"\0" * 4, "declares -4 bytes"),
    ("size text", [entry("input_ids", [1], "4")], b"\0" * 4, "declares '4' bytes"),
    ("overlap", [entry("input_ids", [2], 8), entry("row_lengths", [2], 8)], b"\0" * 12, "the body is cut"),
    ("data and size", [entry("input_ids", [1], 4) | {"data": [1]}], b"\0" * 4, "either data or"),
    ("twice", [entry("input_ids", [1], 4), entry("input_ids", [1], 4)], b"\0" * 8, "is there twice"),
    ("int64 too large", [entry("input_ids", [1], 8, "INT64")], b"\xff" * 7 + b"\x7f", "beyond INT32"),
    (
        "empty padded rows",
        [entry("input_ids", [2, 0], 0), entry("attention_mask", [2, 0], 0)],
        b"",
        "at least one row of one token",
    ),
    ("many empty rows", [entry("input_ids", [2**31 - 1, 0], 0)], b"", "rows, at most 64"),
    ("wide of no rows", [entry("input_ids", [0, 2**31 - 1], 0)], b"", "at most 128"),
    ("bool ids", [entry("input_ids", [1], 1, "BOOL")], b"\1", "expected INT32 or INT64"),
]


@pytest.mark.parametrize(
    ("entries", "binary", "words"), [case[1:] for case in DECLARATIONS], ids=[case[0] for case in DECLARATIONS]
)
def test_what_a_tensor_declares_is_checked(entries: list[dict[str, object]], binary: bytes, words: str) -> None:
    """Shape, datatype and size must agree with each other and with the bytes that were sent."""
    assert words in refuse(*with_json({"inputs": entries}, binary)).message


DOCUMENTS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "got no JSON, expected one object"),
    ("blank", b" \n", "got no JSON, expected one object"),
    ("cut", b'{"id"', ", expected one object of strict JSON"),
    ("list", b"[]", "got list as the JSON"),
    ("utf-8", b'{"id": "\xff"}', "not UTF-8 at byte 8"),
    ("utf-16", '{"id": "a"}'.encode("utf-16"), "not UTF-8"),
    ("bom", b"\xef\xbb\xbf{}", "cannot be read"),
    ("nan", b'{"inputs": [NaN]}', "NaN is not JSON"),
    ("infinity", b'{"inputs": [-Infinity]}', "-Infinity is not JSON"),
    ("repeated key", b'{"id": "a", "id": "b"}', "repeats a key"),
    ("long integer", b'{"inputs": ' + b"9" * 5000 + b"}", "cannot be read"),
    (
        "deep lists",
        b'{"inputs": ' + b"[" * 1100 + b"]" * 1100 + b"}",
        "",
    ),  # the depth at which the parser fails differs between Python versions
    ("deeper lists", b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "lists and objects, at most"),
    ("deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "lists and objects, at most"),
    ("many values", b'{"inputs": [' + b"1," * 400_000 + b"1]}", "values, at most"),
    ("many lists", b'{"inputs": [' + b"[]," * 30_000 + b"[]]}", "at most"),
    ("nul", b"\0" * 100, "cannot be read"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in DOCUMENTS], ids=[case[0] for case in DOCUMENTS])
def test_broken_json_is_refused(text: bytes, words: str) -> None:
    """Anything but strict UTF-8 JSON of limited size and depth is a 4xx error."""
    assert words in refuse({}, text).message


@pytest.mark.parametrize("declared", ["", "-1", "1e3", " 5", "\u0665", "999999", "9" * 40, "0x10"])
def test_the_header_length_is_a_number_within_the_body(declared: str) -> None:
    """Any other value of the header is refused as malformed."""
    assert HEADER_LENGTH in refuse({HEADER_LENGTH: declared}, b"{}").message


def test_compressed_bodies_are_refused_by_name() -> None:
    """Some clients compress bodies. The error names the encoding that is not accepted."""
    assert "gzip" in refuse({"content-encoding": "gzip"}, b"{}").message


def test_a_mask_of_other_values_is_refused() -> None:
    """INT64 values of a mask are checked against INT32, and the bytes of a BOOL mask must be 0 or 1."""
    ids = entry("input_ids", [1, 2], 8)
    bools = with_json({"inputs": [ids, entry("attention_mask", [1, 2], 2, "BOOL")]}, b"\0" * 8 + b"\1\7")
    assert "got 7 in row 0" in refuse(*bools).message
    longs = with_json({"inputs": [ids, entry("attention_mask", [1, 2], 16, "INT64")]}, b"\0" * 8 + b"\xee" * 16)
    assert "beyond INT32" in refuse(*longs).message
