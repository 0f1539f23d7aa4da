"""Heads learn what can be learned, the same bits for one seed, and stored layers give the logits of the network."""

from __future__ import annotations

import pytest
import torch

from glossa.head_training.fitting.fit import Plan, Vectors, fit
from glossa.head_training.fitting.networks import logits_of


def blobs(n_labels: int = 3) -> tuple[Vectors, torch.Tensor]:
    """Return points around one centre for each label, on very unequal scales, and every fifth as inner."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(150) % n_labels
    scale = torch.tensor([100.0, 0.01, 1.0, 1.0])
    inputs = (torch.eye(n_labels, 4)[targets] * 4 + torch.randn(150, 4, generator=generator)) * scale + scale
    return Vectors(inputs, targets, torch.ones(150)), torch.arange(150) % 5 == 0


@pytest.mark.parametrize("has_dense", [True, False])
def test_a_head_is_learned_and_stored(*, has_dense: bool) -> None:
    """Both kinds separate the labels; their stored layers read plain vectors and hold the temperature."""
    data, inner = blobs()
    plan = Plan(3, "one", has_dense=has_dense, seed=0)
    fitted, again = fit(data, inner, plan), fit(data, inner, plan)
    plain = fitted.network.layers(1.0)
    assert (logits_of(plain, data.inputs).argmax(-1) == data.targets).float().mean() > 0.9
    assert all(torch.equal(plain[name], tensor) for name, tensor in again.network.layers(1.0).items())
    with torch.no_grad():
        assert torch.allclose(logits_of(plain, data.inputs), fitted.network(data.inputs), atol=1e-3)
    halved = logits_of(fitted.network.layers(2.0), data.inputs)
    assert torch.allclose(halved, logits_of(plain, data.inputs) / 2, atol=1e-4)


def test_several_labels_and_grades_are_learned() -> None:
    """A sigmoid for each label gives the labels back; one against grades gives their order."""
    data, inner = blobs()
    several = Vectors(data.inputs, torch.eye(3)[data.targets], data.weights)
    layers = fit(several, inner, Plan(3, "any", has_dense=False, seed=0)).network.layers(1.0)
    assert ((logits_of(layers, data.inputs) > 0) == (several.targets > 0)).float().mean() > 0.9
    graded = Vectors(data.inputs, (data.targets.float() / 2)[:, None], data.weights)
    layers = fit(graded, inner, Plan(1, "grade", has_dense=True, seed=0)).network.layers(1.0)
    found = logits_of(layers, data.inputs)[:, 0]
    assert found[data.targets == 2].mean() > found[data.targets == 0].mean() + 1
