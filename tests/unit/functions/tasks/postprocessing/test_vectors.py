"""Vectors are shortened and rounded as numpy and sentence-transformers do it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.tasks.postprocessing.scores import unit
from functions.tasks.postprocessing.vectors import quantized, shorten
from shared.errors import Unprocessable

NUMBERS = st.floats(-8, 8, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
VECTORS = st.lists(NUMBERS, min_size=1, max_size=40)


@given(VECTORS, st.data())
def test_shortening_commutes(vector: list[float], data: st.DataObject) -> None:
    """Twice shortened is shortened to the smaller; length 1 after shortening is the same whatever was scaled before."""
    some, fewer = sorted((data.draw(st.integers(1, len(vector))) for _ in range(2)), reverse=True)
    assert shorten(shorten(vector, some), fewer) == shorten(vector, fewer)
    assert shorten(vector, None) == vector
    assert unit(shorten(unit(vector), fewer)) == pytest.approx(unit(shorten(vector, fewer)))


@given(VECTORS)
def test_bits_are_those_of_packbits(vector: list[float]) -> None:
    """The bytes are those of numpy.packbits, and their bits give the sign of each number back."""
    packed = np.packbits(np.array(vector) > 0)
    assert quantized(vector, "ubinary") == packed.tolist()
    assert quantized(vector, "binary") == (packed.astype(int) - 128).tolist()
    bits = np.unpackbits(np.array(quantized(vector, "ubinary"), dtype=np.uint8))[: len(vector)]
    assert bits.tolist() == [int(x > 0) for x in vector]


@given(VECTORS)
def test_bytes_are_the_unit_vector_in_steps_of_a_127th(vector: list[float]) -> None:
    """Each number is 127 times that of the vector at length 1, rounded half to even; uint8 is 128 more."""
    found = quantized(vector, "int8")
    assert found == np.rint(np.array(unit(vector)) * 127).astype(int).tolist()
    assert all(-127 <= x <= 127 for x in found)
    assert quantized(vector, "uint8") == [x + 128 for x in found]
    assert quantized(vector, "float32") == vector


def test_more_dimensions_than_there_are_is_refused() -> None:
    """The error names the width."""
    with pytest.raises(Unprocessable, match=r"parameters.dimensions: got 4, expected at most 3, the width"):
        shorten([1.0, 2.0, 3.0], 4)
