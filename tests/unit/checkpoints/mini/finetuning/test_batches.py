"""Batches hold every unit once, within their budget, and keep rows of one question together."""

from __future__ import annotations

import numpy as np
import torch

from checkpoints.mini.finetuning.batches import Batch, Batches, hidden, padded, thinned
from checkpoints.mini.finetuning.examples import IGNORED, Examples

ROWS = [np.array([0, *range(10, 10 + n), 2]) for n in (3, 1, 7, 2, 5, 4, 9, 6)]
EXAMPLES = Examples(ROWS, {"label": np.arange(8)}, n_together=2)


def test_every_unit_comes_once_before_any_comes_again() -> None:
    """Four units of two rows each, in batches of at most 24 tokens unless one unit is longer."""
    batches = Batches(EXAMPLES, 24, seed=3)
    seen: list[int] = []
    while len(seen) < 8:
        batch = batches.next()
        labels = batch.labels["label"].tolist()
        assert labels[::2] == [label - 1 for label in labels[1::2]]
        assert batch.ids.numel() <= 24 or len(labels) == 2
        seen += labels
    assert sorted(seen) == list(range(8))


def test_once_gives_all_texts() -> None:
    """Short ones first."""
    parts = list(Batches(EXAMPLES, 24, seed=3).once())
    assert parts[0][:2] == [0, 1]
    assert sorted(n for part in parts for n in part) == list(range(8))


def test_hidden_pieces_have_targets() -> None:
    """Special tokens and padding are never hidden."""
    batch = padded(Examples(ROWS * 20), range(160))
    ids, targets = hidden(batch, 99, np.random.default_rng(0))
    at = targets != IGNORED
    assert torch.equal(ids[~at], batch.ids[~at])
    assert torch.equal(targets[at], batch.ids[at])
    assert int(targets[at].min()) >= 10
    assert 0.1 < float(at.sum() / (batch.ids > 3).sum()) < 0.2


def test_thinned_rows_keep_their_special_tokens() -> None:
    """Every second row is whole."""
    batch = Batch(torch.tensor([[0, 10, 11, 12, 2]] * 2), {})
    found = thinned(batch, np.random.default_rng(0), share=0.99)
    assert found.ids.tolist() == [[0, 10, 11, 12, 2], [0, 2, 1, 1, 1]]
