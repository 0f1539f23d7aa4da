"""Computes the loss of a batch of each task, in nats. Must not know data sets, optimizers or the clock.

`aligned` draws a text to the vector that the frozen e5 gives to its English original, and away from those of other
sentences (distillation over parallel text: Reimers & Gurevych 2020). So vectors of all languages meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from checkpoints.mini.finetuning.batches import Batch, hidden
from checkpoints.mini.finetuning.examples import IGNORED
from checkpoints.mini.finetuning.network import Network, mean

SHARPNESS = 50.0  # logits are cosines times this; e5 itself was trained with 100, and its cosines are near 1
NEAR = 2.0  # the weight of the distance to the own vector beside the contrast
RANKING = 20.0  # of graded pairs, as in CoSENT
Bank = Tensor  # unit vectors [originals, width] of the frozen e5
Losses = dict[str, Tensor]


def aligned(vectors: Tensor, bank: Bank, target: Tensor) -> Tensor:
    """Return the mean loss of vectors `[rows, width]` whose originals are `target`."""
    cosines = F.normalize(vectors, dim=1) @ bank.T
    own = cosines.gather(1, target[:, None])[:, 0]
    return F.cross_entropy(SHARPNESS * cosines, target) + NEAR * (1 - own).mean()


def topics(network: Network, batch: Batch, bank: Bank) -> Losses:
    """Return the losses of a batch of SIB-200."""
    states = network.encode(batch.ids)
    vectors, first = mean(states, batch.ids), states[:, 0].float()
    shown = F.dropout(vectors, network.drop, network.training)
    return {
        "topic": F.cross_entropy(network.heads["topic"](shown), batch.labels["topic"], label_smoothing=0.1),
        "language": F.cross_entropy(network.heads["language"](first, network.drop), batch.labels["language"]),
        "aligned": aligned(vectors, bank, batch.labels["target"]),
    }


def vectors_only(network: Network, batch: Batch, bank: Bank) -> Tensor:
    """Return the loss of aligned texts without other labels."""
    return aligned(mean(network.encode(batch.ids), batch.ids), bank, batch.labels["target"])


def labelled(name: str, smoothing: float) -> Callable[[Network, Batch], Tensor]:
    """Return the loss function of a classifier on `<s>`."""

    def loss(network: Network, batch: Batch) -> Tensor:
        logits = network.heads[name](network.encode(batch.ids)[:, 0].float(), network.drop)
        return F.cross_entropy(logits, batch.labels["label"], label_smoothing=smoothing)

    return loss


def entities(network: Network, batch: Batch) -> Tensor:
    """Return the loss of the tags of all tokens."""
    states = F.dropout(network.encode(batch.ids).float(), network.drop, network.training)
    return F.cross_entropy(network.heads["entities"](states).flatten(0, 1), batch.labels["tag"].flatten())


def answers(network: Network, batch: Batch) -> Tensor:
    """Return the mean loss of the first and the last token of the answer."""
    logits = network.heads["answers"](network.encode(batch.ids).float())
    logits = logits.masked_fill((batch.ids == 1)[:, :, None], -1e4)
    start, end = (F.cross_entropy(logits[:, :, n], batch.labels[name]) for n, name in enumerate(("start", "end")))
    return (start + end) / 2


def choice(network: Network, batch: Batch, n_choices: int) -> Tensor:
    """Return the loss of multiple choice; the rows of a question stand together."""
    logits = network.choose(network.encode(batch.ids)[:, 0].float()).view(-1, n_choices)
    return F.cross_entropy(logits, batch.labels["label"].view(-1, n_choices)[:, 0])


def similarity(network: Network, batch: Batch) -> Tensor:
    """Return the ranking loss of graded pairs: a pair with a higher score shall have the higher cosine (CoSENT)."""
    vectors = F.normalize(mean(network.encode(batch.ids), batch.ids), dim=1)
    cosines = (vectors[::2] * vectors[1::2]).sum(1)
    scores = batch.labels["score"][::2]
    gaps = RANKING * (cosines[None, :] - cosines[:, None])[scores[:, None] > scores[None, :]]
    return torch.logsumexp(torch.cat([torch.zeros(1), gaps]), 0)


def masked(network: Network, batch: Batch, random: np.random.Generator) -> Tensor:
    """Return the loss of hidden pieces. Only their states are projected to the vocabulary."""
    ids, targets = hidden(batch, network.config.vocab_size - 1, random)
    at = targets != IGNORED
    return F.cross_entropy(network.predict(network.encode(ids)[at]), targets[at]).float()


Simple = Callable[[Network, Batch], Tensor]
SIMPLE: Mapping[str, Simple] = {
    "sentiment": labelled("sentiment", 0.1), "nli": labelled("nli", 0.05), "entities": entities, "answers": answers,
    "cloze": answers, "similarity": similarity,
}  # fmt: skip
