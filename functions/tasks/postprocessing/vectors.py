"""Vectors as callers want them: fewer numbers, rounded to a byte or to a bit for each number, or compared.

Plain Python. Must not know any one task, nor where vectors come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import Literal

from functions.messages import Window
from functions.tasks.postprocessing.output_rows import Answer, Vector, by_part
from functions.tasks.postprocessing.scores import pool, unit
from shared.catalog import Head
from shared.errors import Unprocessable

# The names of `quantize_embeddings` in sentence-transformers.
Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
MOST = 127  # the int8 number of 1.0
BIAS = 128  # between signed and unsigned bytes
BITS = 8


def shorten(vector: Vector, dimensions: int | None) -> Vector:
    """Return the first `dimensions` numbers of a vector, or all of them for None.

    A model that is trained for it (Matryoshka representation learning; Kusupati et al., 2022) has most of its meaning
    there. Raises Unprocessable when the vector has fewer numbers.
    """
    if dimensions is None:
        return vector
    if dimensions > len(vector):
        found = f"parameters.dimensions: got {dimensions}"
        raise Unprocessable(f"{found}, expected at most {len(vector)}, the width of the model's vectors")
    return vector[:dimensions]


def quantized(vector: Vector, precision: Precision) -> Vector | list[int]:
    """Return a vector in a precision: one number each, or for `binary` and `ubinary` one byte for eight numbers.

    int8: 127 times the vector at length 1, rounded half to even; uint8: 128 more. ubinary: the bit of a number is 1 if
    it is above 0, the first number is the highest bit, and bits that fill up the last byte are 0, as in numpy.packbits;
    binary: 128 less, as in sentence-transformers.
    """
    if precision == "float32":
        return vector
    if precision in {"int8", "uint8"}:
        more = BIAS if precision == "uint8" else 0
        return [round(x * MOST) + more for x in unit(vector)]
    less = BIAS if precision == "binary" else 0
    return [byte - less for byte in _packed(vector)]


def cosines(windows: Sequence[Window], answers: Sequence[Answer], pooling: str, head: Head) -> list[float]:
    """Return the cosine of each further part of an input with its first part, in order.

    The vector of a long part is made of its windows' by `pooling`, and cut as the head declares.
    """
    first, *others = [
        unit(shorten(pool(mine, [answer["vectors"][0] for answer in theirs], pooling), head.dimensions))
        for mine, theirs in by_part(windows, answers)
    ]
    return [sum(map(mul, first, other)) for other in others]


def _packed(vector: Vector) -> bytes:
    n_bytes = -(-len(vector) // BITS)
    bits = "".join("1" if x > 0 else "0" for x in vector).ljust(n_bytes * BITS, "0")
    return int(bits, 2).to_bytes(n_bytes, "big")
