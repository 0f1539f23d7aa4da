"""Tensors are little-endian bytes with a shape, and are equal by their content."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.messages import TokenFacts, Window
from shared.messages import InferCall, Tensor
from tests.unit.shared.protocol.strategies import quick

int32 = st.integers(-(2**31), 2**31 - 1)


@quick
@given(st.lists(int32))
def test_ints_are_little_endian_and_come_back(values: list[int]) -> None:
    """The bytes are those of the protocol, and the values are read back."""
    tensor = Tensor.ints(values)
    assert tensor.tobytes() == struct.pack(f"<{len(values)}i", *values)
    assert tensor.int_values().tolist() == values
    assert tensor.shape == (len(values),)


@quick
@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_floats_are_little_endian_and_come_back(values: list[float]) -> None:
    """FP32 values are read back exactly."""
    tensor = Tensor.floats(values)
    assert tensor.tobytes() == struct.pack(f"<{len(values)}f", *values)
    assert tensor.float_values().tolist() == values


def test_equality_is_datatype_shape_and_bytes() -> None:
    """The same bytes in another shape or datatype are another tensor. Equal tensors have equal hashes."""
    tensor = Tensor.ints([0, 0], (2, 1))
    assert tensor == Tensor("INT32", (2, 1), memoryview(bytes(8)))
    assert hash(tensor) == hash(Tensor.ints([0, 0], (2, 1)))
    assert tensor != Tensor.ints([0, 0])
    assert tensor != Tensor.floats([0, 0], (2, 1))
    assert tensor != "tensor"


def test_values_past_int32_do_not_wrap() -> None:
    """2**31 is refused, not read as negative."""
    with pytest.raises(OverflowError):
        Tensor.ints([2**31])


def test_reading_the_other_datatype_is_a_bug() -> None:
    """FP32 bytes cannot be read as integers, nor INT32 bytes as floats."""
    with pytest.raises(TypeError, match="got a FP32 tensor, expected INT32"):
        Tensor.floats([1.0]).int_values()
    with pytest.raises(TypeError, match="got a INT32 tensor, expected FP32"):
        Tensor.ints([1]).float_values()


def test_a_tensor_cannot_be_changed_through_its_bytes() -> None:
    """Views are read-only, because two stages may hold the same memory."""
    with pytest.raises(TypeError):
        Tensor.ints([1]).data[0] = 5


def test_views_count_rows_tokens_and_content() -> None:
    """A call counts its rows and tokens. A window counts its tokens that are not special."""
    call = InferCall("mini", "topic", Tensor.ints([0, 5, 2, 0, 2]), Tensor.ints([3, 2]))
    assert (call.n_rows, call.n_tokens) == (2, 5)
    window = Window(0, (0, 5, 2), lambda: TokenFacts(((0, 0), (0, 1), (0, 0)), (True, False, True)))
    assert window.n_content_tokens == 1
