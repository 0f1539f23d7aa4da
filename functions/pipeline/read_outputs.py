"""Reads the packed tensors of all calls as one stream, and gives each window its rows.

A tensor that does not fit the windows is the model server's error. Must not know tasks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from functions.messages import Window
from functions.tasks.postprocessing.output_rows import Counted, RowsPerWindow, Vector
from shared.errors import NotFinite, ReplicaError, TooLarge
from shared.messages import ModelOutput, Tensor

FEWER = "send fewer or shorter texts in one request"


def read_outputs(
    outputs: Mapping[str, RowsPerWindow], windows: Sequence[Window], model_outputs: Sequence[ModelOutput]
) -> Iterator[dict[str, list[Vector]]]:
    """Yield each window's rows of the named `outputs`, in order. A count stands before the output that it counts.

    Raises ReplicaError when a tensor is missing, too short or too long, NotFinite when a value is not finite, and
    TooLarge before it makes more counted rows than the limit.
    """
    n_counted = dict.fromkeys(outputs, 0)
    streams = {name: _rows(name, model_outputs) for name in outputs}
    for window in windows:
        taken: dict[str, list[Vector]] = {}
        for name, unit in outputs.items():
            n_rows = _counted(unit, taken) if isinstance(unit, Counted) else unit(window)
            n_counted[name] += n_rows
            if isinstance(unit, Counted) and n_counted[name] > unit.most:
                raise TooLarge(f"got {n_counted[name]} {name}, at most {unit.most} in one request", hint=FEWER)
            taken[name] = _take(name, streams[name], n_rows)
        yield taken
    for name, stream in streams.items():
        if (left := sum(1 for _ in stream)) > 0:
            raise ReplicaError(f"got {left} rows of {name!r} more than asked from the model server")


def _counted(unit: Counted, taken: Mapping[str, list[Vector]]) -> int:
    return int(sum(map(sum, taken[unit.name])))


def _take(name: str, stream: Iterator[Vector], n_rows: int) -> list[Vector]:
    taken = list(islice(stream, n_rows))
    if len(taken) < n_rows:
        raise ReplicaError(f"got too few rows of {name!r} from the model server, expected one for each asked")
    return taken


def _rows(name: str, model_outputs: Sequence[ModelOutput]) -> Iterator[Vector]:
    for answer in model_outputs:
        tensor = answer.outputs.get(name)
        if tensor is None:
            raise ReplicaError(f"got {sorted(answer.outputs)} from the model server, expected {name!r} among them")
        values = tensor.float_values() if tensor.datatype == "FP32" else tensor.int_values()
        width = _width(tensor)
        for start in range(0, len(values), width):
            row: Vector = list(values[start : start + width])
            if not math.isfinite(sum(row)):
                raise NotFinite(f"got {name!r} that is not a number from the model server, expected finite values")
            yield row


def _width(tensor: Tensor) -> int:
    return max(1, math.prod(tensor.shape[1:]))
