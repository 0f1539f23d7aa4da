"""Fits a head to vectors: one linear layer by L-BFGS, a head with a hidden layer by AdamW with early stopping.

What is to be chosen (how long, how much weight decay) is chosen on a part of the training rows; then the head is fitted
to all of them. Held-out rows are never seen. Must not know texts, models or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from glossa.head_training.fitting.networks import Network

Loss = Literal["one", "any", "grade"]  # softmax over labels, a sigmoid for each, a sigmoid against a grade
DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # that are tried for one linear layer, strongest first
LBFGS_STEPS = 100
BATCH, RATE, DECAY = 32, 1e-3, 0.01
MAX_EPOCHS, PATIENCE = 60, 6
MAX_CLASS_WEIGHT = 10.0
OnStep = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors [n, width] with what they should give: int64 [n] for `one`, else float32 [n, outputs].

    `weights` [n] are the shares of the windows of one text, which add up to 1.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor

    def of(self, chosen: Tensor) -> Vectors:
        """Return those at the indices `chosen`, or where it is true."""
        return Vectors(self.inputs[chosen], self.targets[chosen], self.weights[chosen])

    def to(self, device: torch.device) -> Vectors:
        """Return them on a device."""
        return Vectors(self.inputs.to(device), self.targets.to(device), self.weights.to(device))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fitted: outputs, the loss, whether there is a hidden layer, the seed, and if classes are balanced."""

    n_outputs: int
    loss: Loss
    has_dense: bool
    seed: int
    balance: bool = True


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted head, a line that says how it was chosen, and its loss on the rows that chose, if there were any."""

    network: Network
    chosen: str
    inner_loss: float = math.inf


def fit(train: Vectors, is_inner: Tensor, plan: Plan, on_step: OnStep = lambda _: None) -> Fitted:
    """Fit a head to `train`. `is_inner` [n] is true for the rows that choose, and false for the others.

    Equal values and seed give equal bits on one machine.
    """
    weights = class_weights(train, plan)
    fit_one = _Fit(plan, weights, on_step)
    inner, others = train.of(is_inner), train.of(~is_inner)
    has_both = len(inner.inputs) > 0 and len(others.inputs) > 0
    if plan.has_dense:
        epochs, least = fit_one.best_epochs(others, inner) if has_both else (MAX_EPOCHS // 4, math.inf)
        return Fitted(fit_one.by_adam(train, epochs), f"{epochs} epochs", least)
    tried = (
        {decay: fit_one.linear_loss(others, inner, decay) for decay in DECAYS} if has_both else {DECAYS[2]: math.inf}
    )
    decay = min(tried, key=lambda each: tried[each])
    return Fitted(fit_one.by_lbfgs(train, decay), f"weight decay {decay:g}", tried[decay])


@dataclass(frozen=True, slots=True)
class _Fit:
    plan: Plan
    class_weights: Tensor
    on_step: OnStep

    def loss(self, network: Network, data: Vectors, *, balanced: bool = True) -> Tensor:
        """Return the mean loss, with the weights of windows and, if `balanced`, of classes."""
        logits = network(data.inputs)
        if self.plan.loss == "one":
            each = F.cross_entropy(logits, data.targets, reduction="none")
            weights = data.weights * (self.class_weights[data.targets] if balanced else 1.0)
        else:
            pos = self.class_weights if balanced else None
            each = F.binary_cross_entropy_with_logits(logits, data.targets, reduction="none", pos_weight=pos).mean(1)
            weights = data.weights
        return (each * weights).sum() / weights.sum()

    def by_lbfgs(self, data: Vectors, decay: float) -> Network:
        """Return the linear layer that minimizes loss and weight decay."""
        network = self._network(data)
        optimizer = torch.optim.LBFGS(network.parameters(), max_iter=LBFGS_STEPS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            total = self.loss(network, data) + decay * network.out.weight.square().sum() / 2
            total.backward()  # type: ignore[no-untyped-call] # torch has no types for it
            return total

        optimizer.step(closure)  # type: ignore[no-untyped-call] # likewise
        return network.eval()

    @torch.no_grad()
    def linear_loss(self, train: Vectors, inner: Vectors, decay: float) -> float:
        """Return the loss on `inner` of the layer that is fitted to `train`."""
        with torch.enable_grad():
            network = self.by_lbfgs(train, decay)
        found = float(self.loss(network, inner))
        self.on_step(f"weight decay {decay:g}: loss {found:.3f}")
        return found

    def best_epochs(self, train: Vectors, inner: Vectors) -> tuple[int, float]:
        """Return after how many epochs the loss on `inner` was least, and that loss; it stops when it falls no more."""
        best, best_epoch = math.inf, 1
        for epoch, network in enumerate(self._epochs(train, MAX_EPOCHS), 1):
            with torch.no_grad():
                found = float(self.loss(network.eval(), inner))
            self.on_step(f"epoch {epoch}: loss {found:.3f}, best {min(best, found):.3f}")
            if found < best:
                best, best_epoch = found, epoch
            elif epoch - best_epoch >= PATIENCE:
                break
        return best_epoch, best

    def by_adam(self, data: Vectors, epochs: int) -> Network:
        """Return the head after so many epochs."""
        network = None
        for network in self._epochs(data, epochs):  # noqa: B007 - the last one is returned
            pass
        if network is None:
            raise ValueError(f"got {epochs} epochs, expected at least 1")
        return network.eval()

    def _epochs(self, data: Vectors, most: int) -> Iterator[Network]:
        """Yield the network after each epoch."""
        network = self._network(data)
        order = torch.Generator().manual_seed(self.plan.seed)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        for _ in range(most):
            network.train()
            for batch in torch.split(torch.randperm(len(data.inputs), generator=order), BATCH):
                optimizer.zero_grad()
                own = batch.to(data.inputs.device)
                self.loss(network, data.of(own)).backward()  # type: ignore[no-untyped-call] # torch has no types for it
                optimizer.step()
            yield network

    def _network(self, data: Vectors) -> Network:
        generator = torch.Generator().manual_seed(self.plan.seed)
        width = data.inputs.shape[1]
        network = Network(width, self.plan.n_outputs, has_dense=self.plan.has_dense, generator=generator)
        network = network.to(data.inputs.device)
        network.standardize(data.inputs)
        return network


def class_weights(train: Vectors, plan: Plan) -> Tensor:
    """Return a weight for each class: rare ones count more, at most MAX_CLASS_WEIGHT times. Without balance, 1."""
    ones = torch.ones(plan.n_outputs, device=train.inputs.device)
    if not plan.balance or plan.loss == "grade":
        return ones
    if plan.loss == "any":
        share = (train.targets * train.weights[:, None]).sum(0) / train.weights.sum()
        return ((1 - share) / share.clamp(min=1e-6)).clamp(1.0, MAX_CLASS_WEIGHT)
    counts = ones.new_zeros(plan.n_outputs).index_add_(0, train.targets, train.weights)
    mean = counts.sum() / (counts > 0).sum()
    return (mean / counts.clamp(min=1e-6)).clamp(1 / MAX_CLASS_WEIGHT, MAX_CLASS_WEIGHT)
