"""Packs the rows of a padded request, and pads outputs that have one entry for each token.

Other clients of the protocol send padded rows. This module must not know JSON, parameters or heads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from shared.errors import ReplicaError, TooLarge, Unprocessable
from shared.messages import ITEM_BYTES, Tensor
from shared.protocol.call_limits import CallLimits

_PACKED_ONLY = ("row_lengths", "positions_per_row")
_ID_TENSORS = ("lang_ids", "token_type_ids", "position_ids")


@dataclass(frozen=True, slots=True)
class Padding:
    """Where the tokens were in the padded tensor.

    `width` is its number of columns. `spans` has the first column and the number of tokens of each row.
    """

    width: int
    spans: tuple[tuple[int, int], ...]


def unpad(tensors: Mapping[str, Tensor], limits: CallLimits) -> tuple[dict[str, Tensor], Padding]:
    """Pack `input_ids` and the other ids [rows, width]: keep the columns where `attention_mask` [rows, width] is 1.

    Returns the packed tensors with `row_lengths`, and where the tokens were. `positions` are row * width + column, row
    by row. They become positions in the packed tokens, with `positions_per_row`.
    Raises Unprocessable for a mask that is missing, has another shape, values other than 0 and 1, an empty row or a
    hole; for tensors without any element; and for a position without a token. Raises TooLarge for too many rows or
    columns.
    """
    n_rows, width = tensors["input_ids"].shape
    mask = _checked_mask(tensors, limits)
    spans = tuple(_token_span(row, mask[row * width : (row + 1) * width]) for row in range(n_rows))
    packed = {name: _packed_ids(tensors[name], width, spans) for name in ("input_ids", *_ID_TENSORS) if name in tensors}
    packed["row_lengths"] = Tensor.ints(length for _, length in spans)
    if "positions" in tensors:
        packed |= _packed_positions(tensors["positions"], width, spans)
    return packed, Padding(width, spans)


def pad(name: str, tensor: Tensor, padding: Padding, max_bytes: int) -> Tensor:
    """Pad an output [tokens, ...] with zeros to [rows, width, ...].

    Raises TooLarge before more than `max_bytes` bytes are allocated, ReplicaError when the number of tokens differs.
    """
    n_rows, n_tokens = len(padding.spans), sum(length for _, length in padding.spans)
    if tensor.shape[:1] != (n_tokens,):
        raise ReplicaError(
            f"got output {name} of shape {list(tensor.shape)}, expected one entry for each of {n_tokens} tokens"
        )
    inner = math.prod(tensor.shape[1:]) * ITEM_BYTES[tensor.datatype]
    if (n_bytes := n_rows * padding.width * inner) > max_bytes:
        raise TooLarge(f"the padded output {name} has {n_bytes} bytes, at most {max_bytes}", hint="send packed rows")
    out = bytearray(n_bytes)
    source = 0
    for row, (column, length) in enumerate(padding.spans):
        start = (row * padding.width + column) * inner
        out[start : start + length * inner] = tensor.data[source : source + length * inner]
        source += length * inner
    return Tensor(tensor.datatype, (n_rows, padding.width, *tensor.shape[1:]), memoryview(out).toreadonly())


def _checked_mask(tensors: Mapping[str, Tensor], limits: CallLimits) -> memoryview[int]:
    shape = tensors["input_ids"].shape
    if packed := [name for name in _PACKED_ONLY if name in tensors]:
        raise Unprocessable(
            f"got {packed[0]} with input_ids of shape {list(shape)}, expected packed input_ids [tokens]"
        )
    if shape[0] > limits.max_rows:
        raise TooLarge(f"got {shape[0]} rows, at most {limits.max_rows}")
    if shape[1] > limits.max_row_tokens:
        raise TooLarge(f"got rows of width {shape[1]}, at most {limits.max_row_tokens}")
    if 0 in shape:
        raise Unprocessable(f"got input_ids of shape {list(shape)}, expected at least one row of one token")
    if "attention_mask" not in tensors:
        raise Unprocessable("got input_ids [rows, width] without attention_mask, expected both")
    for name in ("attention_mask", *_ID_TENSORS):
        if name in tensors and tensors[name].shape != shape:
            raise Unprocessable(f"got {name} of shape {list(tensors[name].shape)}, expected {list(shape)}")
    return tensors["attention_mask"].int_values()


def _token_span(row: int, mask: memoryview[int]) -> tuple[int, int]:
    """Return the first column and the number of ones in one row of the mask. The ones must be side by side."""
    values = mask.tolist()
    length = values.count(1)
    if length + values.count(0) != len(values):
        wrong = next(value for value in values if value not in {0, 1})
        raise Unprocessable(f"got {wrong} in row {row} of attention_mask, expected 0 or 1")
    if not length:
        raise Unprocessable(f"row {row} of attention_mask is all 0, expected at least one token")
    column = values.index(1)
    if sum(values[column : column + length]) != length:
        raise Unprocessable(f"row {row} of attention_mask has a hole, expected its ones side by side")
    return column, length


def _packed_positions(positions: Tensor, width: int, spans: tuple[tuple[int, int], ...]) -> dict[str, Tensor]:
    """Return `positions` in the packed tokens, and `positions_per_row`."""
    if len(positions.shape) != 1:
        raise Unprocessable(f"got positions of shape {list(positions.shape)}, expected [positions]")
    starts = [0, *accumulate(length for _, length in spans)]
    packed: list[int] = []
    rows: list[int] = []
    for position in positions.int_values():
        row, column = divmod(position, width)
        first, length = spans[row] if 0 <= row < len(spans) else (0, 0)
        if not first <= column < first + length or (rows and row < rows[-1]):
            raise Unprocessable(f"got position {position}, expected row * {width} + column of a token, row by row")
        packed.append(starts[row] + column - first)
        rows.append(row)
    counts = Counter(rows)
    return {
        "positions": Tensor.ints(packed),
        "positions_per_row": Tensor.ints(counts[row] for row in range(len(spans))),
    }


def _packed_ids(tensor: Tensor, width: int, spans: tuple[tuple[int, int], ...]) -> Tensor:
    item = ITEM_BYTES["INT32"]
    starts = ((row * width + column, length) for row, (column, length) in enumerate(spans))
    data = b"".join(tensor.data[start * item : (start + length) * item] for start, length in starts)
    return Tensor("INT32", (len(data) // item,), memoryview(data))
