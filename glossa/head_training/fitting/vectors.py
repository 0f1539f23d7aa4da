"""Puts vectors beside what a head should say of them: one target for each window, or for each token.

Must not know how vectors are computed or fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from functions.messages import Window
from glossa.head_training.data.examples import Example, Target
from glossa.head_training.data.tags import token_labels
from glossa.head_training.fitting.fit import Vectors
from glossa.head_training.prepare import Prepared


def by_row(windows: Sequence[Sequence[Window]], found: Sequence[Tensor], rows: Iterable[int]) -> list[list[Tensor]]:
    """Return the vectors of the windows of each row."""
    starts = [0]
    for own in windows:
        starts.append(starts[-1] + len(own))
    return [list(found[starts[at] : starts[at + 1]]) for at in rows]


def vectors_of(
    prepared: Prepared, windows: Sequence[Sequence[Window]], found: Sequence[Tensor], rows: Sequence[int]
) -> tuple[Vectors, Tensor]:
    """Return what is fitted of the given rows, and which of it belongs to rows that choose."""
    index = {label: at for at, label in enumerate(prepared.head.labels)}
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    weights: list[Tensor] = []
    is_inner: list[Tensor] = []
    for at, own in zip(rows, by_row(windows, found, rows), strict=True):
        total = sum(window.n_content_tokens for window in windows[at])
        for window, vectors in zip(windows[at], own, strict=True):
            wanted, kept = targets_of(prepared.rows[at], window, prepared.target, index)
            inputs.append(vectors if kept is None else vectors[kept])
            targets.append(wanted)
            share = 1.0 if prepared.target == "spans" else window.n_content_tokens / max(1, total)
            weights.append(torch.full((len(wanted),), share))
            is_inner.append(torch.full((len(wanted),), at in prepared.inner))
    return Vectors(torch.cat(inputs), torch.cat(targets), torch.cat(weights)), torch.cat(is_inner)


def targets_of(row: Example, window: Window, target: Target, index: dict[str, int]) -> tuple[Tensor, Tensor | None]:
    """Return what a head should say of a window, and which of its tokens it says it of; None: of the whole window."""
    if target == "spans":
        labels = torch.tensor(token_labels(window.offsets, window.special, row.spans, index))
        kept = labels >= 0
        return labels[kept], kept
    if target == "grade":
        return torch.tensor([[0.0 if row.grade is None else row.grade]]), None
    if target == "label":
        return torch.tensor([index[row.labels[0]]]), None
    return torch.tensor([[float(label in row.labels) for label in index]]), None
