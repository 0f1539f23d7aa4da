"""The network from its first trained layer on gives what the whole network gives."""

from __future__ import annotations

import pytest
import torch

from functions.messages import TokenFacts, Window
from glossa.head_training.fitting.frozen import upper_layers
from glossa.head_training.fitting.unfreeze import Item, Task, answers
from tests.checkpoints import draw, draw_ids


@pytest.mark.parametrize("family", ["XLMRoberta", "XLMRobertaXL", "Bert"])
def test_the_upper_layers_answer_as_the_whole_network(family: str) -> None:
    """Logits are the same with the states below them given, and the network is whole again afterwards."""
    network = draw(f"{family}ForSequenceClassification")
    backbone = getattr(network, network.base_model_prefix)
    backbone.requires_grad_(requires_grad=False)
    backbone.encoder.layer[-1].requires_grad_(requires_grad=True)
    windows = [Window(0, tuple(ids), lambda: TokenFacts((), ())) for ids in draw_ids((7, 30, 2), seed=3)]
    items = [Item(window, 0) for window in windows]
    before, state = answers(network, items, Task("one")), network.state_dict().keys()
    with upper_layers(network, windows, 1) as states:
        assert len(backbone.encoder.layer) == 1
        found = answers(network, items, Task("one", states=states))
    assert torch.allclose(torch.tensor(found), torch.tensor(before), atol=1e-4)
    assert network.state_dict().keys() == state
