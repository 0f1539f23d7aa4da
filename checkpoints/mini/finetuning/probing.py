"""Fits the heads on states of the network that is not trained yet, before all of it learns.

Heads that begin at random pull the body away from what it knows, and cost hundreds of steps (linear probing, then
fine-tuning: Kumar et al. 2022). States are computed once for a part of each set; a head is then fitted in seconds.
Must not know the clock or how batches of the training are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from checkpoints.mini.finetuning.batches import Batches, hidden, padded
from checkpoints.mini.finetuning.examples import IGNORED, Examples
from checkpoints.mini.finetuning.network import Network, SequenceHead, mean

BUDGET_TOKENS = 4_096
N_TOPIC_TEXTS, N_TEXTS, N_TAGGED, N_MASKED = 10_000, 6_000, 5_000, 5_000
N_ROUNDS, ROWS, RATE, DECAY = 30, 256, 3e-3, 1e-2
Read = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Known:
    """States `[n, width]` with their label numbers `[n]`, and what centres and scales the states."""

    states: Tensor
    labels: Tensor

    @property
    def centre(self) -> Tensor:
        """Return the mean state."""
        return self.states.mean(0)

    @property
    def scale(self) -> Tensor:
        """Return one over the standard deviation of each number."""
        return 1 / self.states.std(0).clamp_min(1e-4)


def fit_heads(network: Network, sets: Mapping[str, Examples], seed: int) -> dict[str, float]:
    """Fit the heads of topic, language, sentiment, entities and masked words. Return the last loss of each."""
    network.eval()
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    losses = {}
    topics = some(sets["topics"], N_TOPIC_TEXTS, random)
    states, labels = whole_texts(network, topics, both)
    width = network.config.hidden_size
    losses["topic"] = fit(network.heads["topic"], Known(states[:, :width], labels["topic"]))
    losses["language"] = fit(network.heads["language"], Known(states[:, width:], labels["language"]))
    states, labels = whole_texts(network, some(sets["sentiment"], N_TEXTS, random), first)
    losses["sentiment"] = fit(network.heads["sentiment"], Known(states, labels["label"]))
    losses["entities"] = fit(network.heads["entities"], tagged(network, some(sets["entities"], N_TAGGED, random)))
    losses["masked"] = fit_words(network, masked(network, some(sets["masked"], N_MASKED, random), random))
    network.train()
    return losses


def some(examples: Examples, most: int, random: np.random.Generator) -> Examples:
    """Return at most so many texts, drawn without putting back, with their labels."""
    chosen = np.sort(random.permutation(len(examples.ids))[:most])
    labels = {name: np.asarray(values)[chosen] for name, values in examples.labels.items()}
    tokens = {name: [rows[n] for n in chosen] for name, rows in examples.token_labels.items()}
    return replace(examples, ids=[examples.ids[n] for n in chosen], labels=labels, token_labels=tokens)


def both(states: Tensor, ids: Tensor) -> Tensor:
    """Return the mean of all tokens, then the state of `<s>`."""
    return torch.cat([mean(states, ids), first(states, ids)], 1)


def first(states: Tensor, _: Tensor) -> Tensor:
    """Return the state of `<s>`."""
    return states[:, 0].float()


@torch.no_grad()
def whole_texts(network: Network, examples: Examples, read: Read) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what `read` gives of the states of each text, and the labels in the same order."""
    states: list[Tensor] = []
    labels: dict[str, list[Tensor]] = {name: [] for name in examples.labels}
    for part in Batches(examples, BUDGET_TOKENS, 0).once():
        batch = padded(examples, part)
        states.append(read(network.encode(batch.ids), batch.ids))
        for name, values in batch.labels.items():
            labels[name].append(values)
    return torch.cat(states), {name: torch.cat(values) for name, values in labels.items()}


@torch.no_grad()
def tagged(network: Network, examples: Examples) -> Known:
    """Return the state of each token that has a tag."""
    states, numbers = [], []
    for part in Batches(examples, BUDGET_TOKENS, 0).once():
        batch = padded(examples, part)
        at = batch.labels["tag"] != IGNORED
        states.append(network.encode(batch.ids)[at].float())
        numbers.append(batch.labels["tag"][at])
    return Known(torch.cat(states), torch.cat(numbers))


@torch.no_grad()
def masked(network: Network, examples: Examples, random: np.random.Generator) -> Known:
    """Return the state of each hidden piece, with the piece."""
    states, numbers = [], []
    for part in Batches(examples, BUDGET_TOKENS, 0).once():
        ids, targets = hidden(padded(examples, part), network.config.vocab_size - 1, random)
        at = targets != IGNORED
        states.append(network.encode(ids)[at].float())
        numbers.append(targets[at])
    return Known(torch.cat(states), torch.cat(numbers))


def fit(head: nn.Module, found: Known) -> float:
    """Fit a linear head or a head with a dense layer on centred and scaled states, and put both into its weights."""
    scaled = Known((found.states - found.centre) * found.scale, found.labels)
    loss = descend(head.parameters(), scaled, lambda states, labels: F.cross_entropy(head(states), labels))
    entry = head.dense if isinstance(head, SequenceHead) else head
    fold(entry, found)
    return loss


def fit_words(network: Network, found: Known) -> float:
    """Fit the head of masked words; the word embeddings stay. The bias begins at the frequency of each piece."""
    head, words = network.reference.lm_head, network.reference.roberta.embeddings.word_embeddings.weight.detach()
    counts = torch.bincount(found.labels, minlength=len(words)).float()
    with torch.no_grad():
        head.bias.copy_(torch.log((counts + 0.1) / (counts + 0.1).sum()))
    scaled = Known((found.states - found.centre) * found.scale, found.labels)
    parameters = [*head.dense.parameters(), *head.layer_norm.parameters(), head.bias]
    loss = descend(
        parameters,
        scaled,
        lambda states, labels: F.cross_entropy(network.predict(states, words), labels),
        N_ROUNDS // 5,
    )
    fold(head.dense, found)
    return loss


@torch.no_grad()
def fold(layer: nn.Linear, found: Known) -> None:
    """Change a layer so that it reads states as they are, instead of centred and scaled ones."""
    layer.weight.mul_(found.scale)
    layer.bias.sub_(layer.weight @ found.centre)


def descend(
    parameters: Iterable[Tensor], found: Known, loss: Callable[[Tensor, Tensor], Tensor], rounds: int = N_ROUNDS
) -> float:
    """Minimize a loss by AdamW with a rate that falls to zero. Return the mean loss of the last round."""
    optimizer = torch.optim.AdamW(list(parameters), lr=RATE, weight_decay=DECAY)
    n_steps, step, value = rounds * -(-len(found.states) // ROWS), 0, 0.0
    for _ in range(rounds):
        values = []
        for part in torch.randperm(len(found.states)).split(ROWS):
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / n_steps)
            optimizer.zero_grad()
            one = loss(found.states[part], found.labels[part])
            one.backward()  # type: ignore[no-untyped-call] # torch has no types for it
            optimizer.step()
            values.append(one.item())
            step += 1
        value = float(np.mean(values))
    return value
