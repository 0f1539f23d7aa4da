"""Arithmetic on scores and vectors that several tasks need: softmax, sigmoid, means, unit length, pooling of windows.

Plain Python floats, in double precision. Must not know any one task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

from functions.messages import Window
from functions.tasks.postprocessing.output_rows import Vector


def softmax(logits: Vector) -> Vector:
    """Return probabilities that sum to 1. No logit is too large."""
    most = max(logits)
    raised = [math.exp(logit - most) for logit in logits]
    total = math.fsum(raised)
    return [part / total for part in raised]


def sigmoid(logits: Vector) -> Vector:
    """Return one probability for each logit. No logit is too large or too small."""
    return [1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) for x in logits]


def mean(vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
    """Return the weighted mean of vectors of one length. A single vector is returned unchanged."""
    if len(vectors) == 1:
        return vectors[0]
    total = sum(weights)
    return [sum(map(mul, column, weights)) / total for column in zip(*vectors, strict=True)]


def unit(vector: Vector) -> Vector:
    """Return the vector scaled to length 1. A zero vector is returned unchanged."""
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else vector


def pool(windows: Sequence[Window], vectors: Sequence[Vector], pooling: str) -> Vector:
    """Make one vector of the vectors of a text's windows, by the pooling that made each of them of its tokens."""
    if pooling == "cls":
        return vectors[0]
    if pooling == "max":
        return [max(column) for column in zip(*vectors, strict=True)]
    return mean(vectors, [len(window.input_ids) for window in windows])
