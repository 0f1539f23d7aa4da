"""The classification extension of the protocol: the best classes of an output in place of its numbers.

A class is text, `value:index` or `value:index:label`, in a tensor of the datatype BYTES. As bytes, each text stands
behind its length in four bytes, little-endian. This module must not know requests, or what labels mean.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from heapq import nlargest

from shared.errors import TooLarge, Unprocessable
from shared.messages import Tensor
from shared.protocol.frame import brief

BYTES = "BYTES"
LEAST_BYTES = 4 + len("0.000000:0")  # that a class takes


def best_classes(name: str, tensor: Tensor, n_classes: int, labels: Sequence[str], max_bytes: int) -> list[str]:
    """Return the `n_classes` best classes along the last dimension of an output, best first, row after row.

    Labels stand behind the classes when there is one for each. Raises Unprocessable for an output without numbers of
    classes, and TooLarge when the classes take more than `max_bytes`.
    """
    if tensor.datatype != "FP32" or len(tensor.shape) < 2:  # noqa: PLR2004 - rows, and the classes of each
        raise Unprocessable(f"got classification of output {brief(name)}, expected one with a number for each class")
    width = tensor.shape[-1]
    n_rows, n_best = math.prod(tensor.shape[:-1]), min(n_classes, width)
    _refuse_over(n_rows * n_best * LEAST_BYTES, max_bytes)
    ends = [f":{label}" for label in labels] if len(labels) == width else [""] * width
    values = tensor.float_values()
    found = []
    for start in range(0, n_rows * width, width):
        row = values[start : start + width].tolist()
        best = nlargest(n_best, range(width), key=lambda index, row=row: (row[index], -index))  # type: ignore[misc] # mypy knows no default of a lambda
        found += [f"{row[index]:f}:{index}{ends[index]}" for index in best]
    _refuse_over(sum(4 + len(text.encode()) for text in found), max_bytes)
    return found


def classes_shape(tensor: Tensor, n_classes: int) -> list[int]:
    """Return the shape of the classes of an output."""
    return [*tensor.shape[:-1], min(n_classes, tensor.shape[-1])]


def write_texts(
    name: str, shape: Sequence[int], texts: Sequence[str], *, binary: bool
) -> tuple[dict[str, object], memoryview[int] | None]:
    """Return the JSON entry of a tensor of texts, and its bytes if it is binary."""
    entry: dict[str, object] = {"name": name, "datatype": BYTES, "shape": list(shape)}
    if not binary:
        return {**entry, "data": list(texts)}, None
    encoded = [text.encode() for text in texts]
    data = b"".join(part for each in encoded for part in (struct.pack("<I", len(each)), each))
    return {**entry, "parameters": {"binary_data_size": len(data)}}, memoryview(data)


def _refuse_over(n_bytes: int, max_bytes: int) -> None:
    if n_bytes > max_bytes:
        raise TooLarge(
            f"got classes of {n_bytes} bytes, at most {max_bytes}", hint="ask for fewer classes, or send fewer rows"
        )
