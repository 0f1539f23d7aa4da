"""Layers that rest get no gradient."""

from __future__ import annotations

import torch

from checkpoints.mini.finetuning.network import Network

IDS = torch.tensor([[0, 10, 20, 2], [0, 11, 2, 1]])


def test_layers_that_rest_get_no_gradient_and_change_no_state() -> None:
    """With one of two layers fixed, the embeddings and the first layer have none, and the states are the same."""
    torch.manual_seed(0)
    network = Network(60, 2, 3)
    whole = network.encode(IDS, torch.float32)
    network.n_fixed = 1
    states = network.encode(IDS, torch.float32)
    states.sum().backward()  # type: ignore[no-untyped-call] # torch has no types for it
    body = network.reference.roberta
    first, second = (layer.intermediate.dense.weight.grad for layer in body.encoder.layer)
    assert torch.equal(whole, states)
    assert body.embeddings.word_embeddings.weight.grad is None
    assert first is None
    assert second is not None
