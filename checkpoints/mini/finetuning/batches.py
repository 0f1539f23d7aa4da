"""Draws batches of padded rows of similar length from a set of examples. Must not know tasks or losses.

All units come once, in random order, before any comes again. A batch holds as many rows as fit its budget of tokens,
padding included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from checkpoints.mini.finetuning.examples import IGNORED, Examples, Ids

PAD, MASK_SHARE, WINDOW = 1, 0.15, 12  # batches that are cut from one sorted window of units
FIRST_PIECE = 4


@dataclass(frozen=True)
class Batch:
    """Padded ids `[rows, tokens]`, labels `[rows]` and labels of tokens `[rows, tokens]`."""

    ids: Tensor
    labels: Mapping[str, Tensor]


class Batches:
    """Makes batches without end."""

    def __init__(self, examples: Examples, budget: int, seed: int) -> None:
        self.examples, self.budget = examples, budget
        self.random = np.random.default_rng(seed)
        self.lengths = np.array([len(row) for row in examples.ids])
        self.units = self.lengths.reshape(-1, examples.n_together)
        self.parts = self.cuts()

    def cuts(self) -> Iterator[list[int]]:
        """Yield the unit numbers of each batch."""
        usual = max(1, int(self.budget / (self.units.mean() * self.examples.n_together)))
        while True:
            order = self.random.permutation(self.examples.n_units)
            for at in range(0, len(order), usual * WINDOW):
                window = order[at : at + usual * WINDOW]
                window = window[np.argsort(self.units[window].max(1), kind="stable")]
                made = list(self.full(window.tolist()))
                for n in self.random.permutation(len(made)).tolist():
                    yield made[n]

    def once(self) -> Iterator[list[int]]:
        """Yield the text numbers of batches that hold every text once, short ones first."""
        together = self.examples.n_together
        for units in self.full(np.argsort(self.units.max(1), kind="stable").tolist()):
            yield [unit * together + k for unit in units for k in range(together)]

    def full(self, window: Sequence[int]) -> Iterator[list[int]]:
        """Cut units of ascending length into batches within the budget."""
        batch: list[int] = []
        for unit in window:
            width = int(self.units[unit].max())
            if batch and (len(batch) + 1) * self.examples.n_together * width > self.budget:
                yield batch
                batch = []
            batch.append(unit)
        if batch:
            yield batch

    def next(self) -> Batch:
        """Return the next batch."""
        together = self.examples.n_together
        return padded(self.examples, [u * together + k for u in next(self.parts) for k in range(together)])


def padded(examples: Examples, numbers: Sequence[int]) -> Batch:
    """Return some texts as one batch."""
    labels = {name: torch.from_numpy(np.asarray(values)[list(numbers)]) for name, values in examples.labels.items()}
    for name, rows in examples.token_labels.items():
        labels[name] = grid([rows[n] for n in numbers], IGNORED)
    return Batch(grid([examples.ids[n] for n in numbers], PAD), labels)


def grid(rows: Sequence[Ids], fill: int) -> Tensor:
    """Return rows of different lengths as one tensor, filled up at the right."""
    found = torch.full((len(rows), max(map(len, rows))), fill, dtype=torch.long)
    for place, row in zip(found, rows, strict=True):
        place[: len(row)] = torch.from_numpy(row)
    return found


def hidden(batch: Batch, mask: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return ids with 15 % of the pieces hidden, and the targets `[rows, tokens]`, IGNORED elsewhere.

    Of the hidden ones 80 % are `<mask>`, 10 % another piece, 10 % unchanged (Devlin et al. 2019).
    """
    dice = torch.from_numpy(random.random(batch.ids.shape))
    chosen = (dice < MASK_SHARE) & (batch.ids >= FIRST_PIECE) & (batch.ids != mask)
    others = torch.from_numpy(random.integers(FIRST_PIECE, mask, batch.ids.shape))
    ids = torch.where(chosen & (dice < 0.8 * MASK_SHARE), torch.tensor(mask), batch.ids)
    ids = torch.where(chosen & (dice >= 0.9 * MASK_SHARE), others, ids)
    return ids, torch.where(chosen, batch.ids, torch.tensor(IGNORED))


def thinned(batch: Batch, random: np.random.Generator, share: float = 0.15) -> Batch:
    """Return the batch with some pieces left out of every second row. Only for labels of whole texts."""
    keep = torch.from_numpy(random.random(batch.ids.shape) >= share) | (batch.ids < FIRST_PIECE)
    keep[::2] = True
    rows = [row[stays & (row != PAD)].numpy() for row, stays in zip(batch.ids, keep, strict=True)]
    return Batch(grid(rows, PAD), batch.labels)
