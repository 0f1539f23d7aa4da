"""Turns multilingual-e5-small into the start of the training: fewer pieces, fewer layers, the classes of XLM-R.

A BERT of this shape is an XLM-RoBERTa: its positions move by two, and its type row 0 is added to every token. The rows
of new pieces begin as mixtures of the rows of English pieces. A word-alignment model over parallel sentences gives the
mixture (IBM model 1: Brown et al. 1993). Must not know how the pieces were chosen, or losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from checkpoints.mini.finetuning.network import N_BEFORE, Network
from checkpoints.mini.finetuning.vocabulary import N_SPECIAL, Vocabulary

MASK_OF_E5 = 250_001
N_ROUNDS = 5  # of expectation and maximization
Ids = NDArray[np.int64]
PARTS = (  # e5's names below `encoder.layer.N.` are those of XLM-R
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip


def tensors(
    start: Path, vocabulary: Vocabulary | None, layers: Sequence[int], *, mask: int = MASK_OF_E5
) -> dict[str, Tensor]:
    """Return the weights of e5 under the names of `XLMRobertaModel`, with the chosen rows and layers.

    Rows of new pieces are the mean row. None keeps all pieces. `mask` is e5's id of `<mask>`.
    """
    found = {
        name.removeprefix("bert."): tensor.float() for name, tensor in load_file(start / "model.safetensors").items()
    }
    words = found["embeddings.word_embeddings.weight"]
    if vocabulary is not None:
        fresh = words[list(vocabulary.kept)].mean(0, keepdim=True).expand(len(vocabulary.added), -1)
        kept = words[[*range(N_SPECIAL), *vocabulary.kept]]
        words = torch.cat([kept, fresh, words[mask : mask + 1]])
    places = found["embeddings.position_embeddings.weight"]
    made = {
        "embeddings.word_embeddings.weight": words.contiguous(),
        "embeddings.position_embeddings.weight": torch.cat([torch.zeros(N_BEFORE, places.shape[1]), places]),
        "embeddings.token_type_embeddings.weight": found["embeddings.token_type_embeddings.weight"][:1].clone(),
    }
    for end in ("weight", "bias"):
        made[f"embeddings.LayerNorm.{end}"] = found[f"embeddings.LayerNorm.{end}"]
        for new, old in enumerate(layers):
            for part in PARTS:
                made[f"encoder.layer.{new}.{part}.{end}"] = found[f"encoder.layer.{old}.{part}.{end}"]
    return made


def fill(network: Network, weights: dict[str, Tensor]) -> None:
    """Copy the weights into the backbone. Raises ValueError when a tensor has no place, or a place no tensor."""
    own = network.reference.roberta
    missing, extra = own.load_state_dict(weights, strict=False)
    lost = [name for name in missing if not name.endswith(("position_ids", "token_type_ids"))]
    if lost or extra:
        raise ValueError(f"got no tensor for {lost} and no place for {extra}, expected the layers of XLM-R")
    network.reference.tie_weights()


def align(pairs: Sequence[tuple[Ids, Ids]]) -> dict[int, tuple[Ids, NDArray[np.float64]]]:
    """Fit IBM model 1 on (new, English) ids. Return for each new id the English ids and their probabilities."""
    new = np.concatenate([np.repeat(a, len(b)) for a, b in pairs])
    english = np.concatenate([np.tile(b, len(a)) for a, b in pairs])
    place = np.concatenate([np.repeat(np.arange(len(a)), len(b)) for a, b in pairs])
    starts = np.cumsum([0, *(len(a) for a, _ in pairs)])[:-1]
    place = place + np.repeat(starts, [len(a) * len(b) for a, b in pairs])
    both, cell = np.unique(new * (1 << 32) + english, return_inverse=True)
    of_new, of_english = both >> 32, both & ((1 << 32) - 1)
    chance = np.ones(len(both))
    counts = chance
    for _ in range(N_ROUNDS):
        share = chance[cell]
        share = share / np.bincount(place, share)[place]
        counts = np.bincount(cell, share, len(both))
        chance = counts / np.bincount(of_english, counts)[of_english]
    table: dict[int, tuple[Ids, NDArray[np.float64]]] = {}
    order = np.argsort(of_new, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(of_new[order])) + 1):
        table[int(of_new[rows[0]])] = (of_english[rows], counts[rows] / counts[rows].sum())
    return table


def mix(words: Tensor, table: dict[int, tuple[Ids, NDArray[np.float64]]], first: int, last: int) -> None:
    """Write mixtures of English rows into the rows `first` to `last` (not included) that the table knows."""
    for new, (english, chance) in table.items():
        if first <= new < last:
            sharp = torch.from_numpy(chance**2 / (chance**2).sum()).float()
            words[new] = sharp @ words[torch.from_numpy(english)]
