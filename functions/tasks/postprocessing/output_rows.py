"""Reads the packed tensors of all calls as one stream and hands each window its part.

A tensor that does not fit the windows is the model server's fault. Must not know tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Generic, TypeVar

from functions.tasks.task import TaskParameters
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head
from shared.errors import NotFinite, ReplicaError, TooLarge
from shared.messages import ModelOutput, Tensor, Window

Vector = list[float]
Answer = Mapping[str, list[Vector]]  # what one window got: rows of each named tensor
P = TypeVar("P", bound=TaskParameters)
FEWER = "send fewer or shorter texts in one request"


@dataclass(frozen=True, slots=True)
class Counted:
    """As many rows as the ints of the output `name`, read before, sum to in one window; `most` in one request."""

    name: str
    most: float = math.inf


Unit = Callable[[Window], int] | Counted  # how many rows of a tensor belong to one window


@dataclass(frozen=True, slots=True)
class AnswerContext(Generic[P]):
    """What an assembler may know of the request: its parameters, the head, how to read ids."""

    parameters: P
    head: Head
    tokenizer: Tokenizer
    target_ids: tuple[int, ...] = ()


def per_window(window: Window) -> int:
    """One row a window."""
    del window
    return 1


def per_token(window: Window) -> int:
    """One row a token, special ones included."""
    return len(window.input_ids)


def per_mask(window: Window) -> int:
    """One row a mask the head reads."""
    return len(window.positions)


def read_back(asked: AnswerContext[P], ids: Sequence[int], *, skip_special: bool = False) -> str:
    """Return the text of ids; one past the tokenizer's, which a model's padded rows allow, is left out as elsewhere."""
    return asked.tokenizer.decode([i for i in ids if i < asked.tokenizer.vocab_size], skip_special=skip_special)


def by_part(
    windows: Sequence[Window], answers: Sequence[Answer]
) -> Iterator[tuple[tuple[Window, ...], tuple[Answer, ...]]]:
    """Yield the windows of each part of an input, in order, with their answers."""
    for _, pairs in groupby(zip(windows, answers, strict=True), key=lambda pair: pair[0].part):
        mine, theirs = zip(*pairs, strict=True)
        yield mine, theirs


def answers(
    outputs: Mapping[str, Unit], windows: Sequence[Window], inferred: Sequence[ModelOutput]
) -> Iterator[dict[str, list[Vector]]]:
    """Yield each window's rows of the named `outputs`, in order; a count stands before what it counts.

    Raises ReplicaError when a tensor is missing, of another type, too short, too long or not finite, TooLarge before
    more of counted rows are made than there may be.
    """
    n_counted = dict.fromkeys(outputs, 0)
    streams = {name: _rows(name, inferred) for name in outputs}
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


def _rows(name: str, inferred: Sequence[ModelOutput]) -> Iterator[Vector]:
    for answer in inferred:
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
