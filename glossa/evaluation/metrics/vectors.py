"""What is measured on vectors: Spearman's rank correlation of graded pairs, and retrieval of the nearest vector.

Equal values share the mean of their ranks (Spearman 1904). Cosines are computed in float64. torch is imported when the
first ones are. Must not know texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PERCENT = 100.0
Vectors = Sequence[Sequence[float]]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the rank correlation times 100; 0 when one side has only equal values. Raises ValueError for no pairs."""
    if len(first) != len(second) or not first:
        raise ValueError(f"got {len(first)} and {len(second)} values, expected as many, and at least one")
    ours, theirs = (ranks(values) for values in (first, second))
    mean = (len(ours) + 1) / 2
    ours, theirs = [rank - mean for rank in ours], [rank - mean for rank in theirs]
    spread = math.sqrt(sum(rank * rank for rank in ours) * sum(rank * rank for rank in theirs))
    return PERCENT * sum(a * b for a, b in zip(ours, theirs, strict=True)) / spread if spread else 0.0


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, the least has 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for place in order[begin:end]:
            found[place] = (begin + 1 + end) / 2
        begin = end
    return found


def cosines(first: Vectors, second: Vectors) -> list[float]:
    """Return the cosine of each pair of vectors [pairs]; that of a zero vector is 0."""
    return [float(value) for value in (_units(first) * _units(second)).sum(1)]


def retrieval_accuracy(queries: Vectors, targets: Vectors) -> float:
    """Return the share of queries, in percent, whose nearest target by cosine stands at their own place.

    As the accuracy of Tatoeba (Artetxe & Schwenk 2019). Of equal cosines, the first target is the nearest.
    """
    nearest: list[int] = (_units(queries) @ _units(targets).T).argmax(1).tolist()
    return PERCENT * sum(place == own for own, place in enumerate(nearest)) / len(nearest)


def _units(vectors: Vectors) -> Tensor:
    import torch  # noqa: PLC0415 - takes seconds, and only vectors need it

    rows = torch.tensor(vectors, dtype=torch.float64)
    units: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return units
