"""The heads are fitted before the body learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from checkpoints.mini.finetuning import probing
from checkpoints.mini.finetuning.examples import Examples
from checkpoints.mini.finetuning.network import Network, SequenceHead
from checkpoints.mini.finetuning.probing import Known

N_TEXTS = 40
LABELS = np.arange(N_TEXTS) % 2
IDS = [np.array([0, 10 + label, 20, 2]) for label in LABELS]
SETS = {
    "topics": Examples(IDS, {"topic": LABELS, "language": LABELS, "target": LABELS}),
    "sentiment": Examples(IDS, {"label": LABELS}),
    "entities": Examples(IDS, {}, {"tag": [np.array([-100, 1 + label, 0, -100]) for label in LABELS]}),
    "masked": Examples(IDS * 4),
}


def test_heads_learn_and_the_body_stays() -> None:
    """Labels that the texts tell are learned by every head, and no weight of the body changes."""
    torch.manual_seed(3)
    network = Network(60, 1, 2)
    before = {name: value.clone() for name, value in network.reference.roberta.state_dict().items()}
    losses = probing.fit_heads(network, SETS, 7)
    assert set(losses) == {"topic", "language", "sentiment", "entities", "masked"}
    assert max(losses[name] for name in ("topic", "language", "sentiment", "entities")) < 0.3
    assert losses["masked"] < np.log(60)
    assert all(torch.equal(before[name], value) for name, value in network.reference.roberta.state_dict().items())


@pytest.mark.parametrize("head", [torch.nn.Linear(8, 2), SequenceHead(8, 2)], ids=["linear", "dense"])
def test_a_fitted_head_reads_states_as_they_are(head: torch.nn.Module) -> None:
    """States far from zero and of different scales are told apart without being scaled first."""
    torch.manual_seed(0)
    labels = torch.arange(4_096) % 2
    states = 5 + torch.randn(4_096, 8) * 0.01
    states[:, 0] += 0.05 * labels
    probing.fit(head, Known(states, labels))
    assert (head(states).argmax(1) == labels).float().mean() > 0.98


def test_the_same_seed_gives_the_same_heads() -> None:
    """Texts, order and rounds come from the seed."""
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        network = Network(60, 1, 2)
        probing.fit_heads(network, SETS, 7)
        weights.append(network.heads["language"].dense.weight.detach())
    assert torch.equal(*weights)
