"""Fits a temperature to logits, and measures how far scores are from the share of right answers.

Guo et al., On Calibration of Modern Neural Networks (2017). Must not know texts or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from glossa.head_training.fitting.fit import Loss

MIN_ROWS = 20  # fewer say nothing about scores
LOWEST, HIGHEST, N_STEPS = 0.2, 5.0, 60
N_BINS = 10


def temperature(logits: Tensor, targets: Tensor, weights: Tensor, loss: Loss) -> float | None:
    """Return the number to divide logits [n, outputs] by so that their loss is least; None for fewer than MIN_ROWS.

    `targets` and `weights` are those of `Vectors`.
    """
    if len(logits) < MIN_ROWS:
        return None
    ratio = HIGHEST / LOWEST
    tried: list[float] = [LOWEST * ratio ** (step / N_STEPS) for step in range(N_STEPS + 1)]
    return min(tried, key=lambda each: _loss(logits / each, targets, weights, loss))


def _loss(logits: Tensor, targets: Tensor, weights: Tensor, loss: Loss) -> float:
    if loss == "one":
        each = F.cross_entropy(logits, targets, reduction="none")
    else:
        each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    return float((each * weights).sum() / weights.sum())


def calibration_error(scores: Sequence[float], is_right: Sequence[bool]) -> float:
    """Return the expected calibration error: the mean gap between score and accuracy in N_BINS equal bins."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(N_BINS)]
    for score, right in zip(scores, is_right, strict=True):
        bins[min(int(score * N_BINS), N_BINS - 1)].append((score, right))
    gaps = [abs(sum(score - right for score, right in each)) for each in bins]
    return sum(gaps) / max(1, len(scores))
