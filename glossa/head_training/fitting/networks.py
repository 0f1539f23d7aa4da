"""The two kinds of head as torch modules, and the names that their tensors get in a checkpoint.

`family` is the head of the model's own class in `transformers`: dense, tanh and a projection of `<s>`; for tokens, one
layer on each. `linear` is one layer on the pooled vector. Must not know data or files.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["family", "linear"]
DROPOUT = 0.1  # as in the classes of transformers


class Network(nn.Module):
    """A head on standardized vectors. `dense` is None for one linear layer."""

    def __init__(self, width: int, n_outputs: int, *, has_dense: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.dense = _layer(width, width, generator) if has_dense else None
        self.out = _layer(width, n_outputs, generator)
        self._generator = generator
        if not has_dense:
            nn.init.zeros_(self.out.weight)

    def standardize(self, vectors: Tensor) -> None:
        """Learn mean and scale of the vectors [n, width] that it will be trained on."""
        self.mean.copy_(vectors.mean(0))  # type: ignore[operator] # a buffer is a tensor
        spread = vectors.std(0, unbiased=False)
        self.scale.copy_(torch.where(spread > 1e-6 * spread.max(), spread, torch.ones_like(spread)))  # type: ignore[operator] # likewise

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits [n, outputs] of vectors [n, width]."""
        states = (vectors - self.mean) / self.scale  # type: ignore[operator] # a buffer is a tensor
        if self.dense is not None:
            states = self._drop(torch.tanh(self.dense(self._drop(states))))
        return torch.as_tensor(self.out(states))

    def _drop(self, states: Tensor) -> Tensor:
        """Drop a part of the numbers while it is trained. The generator is its own, so that a seed gives one head."""
        if not self.training:
            return states
        kept = torch.rand(states.shape, generator=self._generator) >= DROPOUT
        return states * kept.to(states.device) / (1 - DROPOUT)

    @torch.no_grad()
    def layers(self, temperature: float) -> dict[str, Tensor]:
        """Return weights and biases that read plain vectors: the scale is part of the first layer.

        The temperature is part of the projection: logits are divided by it. Names are `dense.*` and `out.*`.
        """
        first = self.out if self.dense is None else self.dense
        weight = first.weight.double() / self.scale.double()  # type: ignore[operator] # a buffer is a tensor
        bias = first.bias.double() - weight @ self.mean.double()  # type: ignore[operator] # likewise
        found = {"dense.weight": weight, "dense.bias": bias} if self.dense is not None else {}
        out_weight, out_bias = (weight, bias) if self.dense is None else (self.out.weight, self.out.bias)
        found |= {"out.weight": out_weight.double() / temperature, "out.bias": out_bias.double() / temperature}
        return {name: tensor.float().cpu().contiguous() for name, tensor in found.items()}


def logits_of(layers: dict[str, Tensor], vectors: Tensor) -> Tensor:
    """Return the logits [n, outputs] of vectors [n, width] that stored layers give, as the served head does."""
    states = vectors
    if "dense.weight" in layers:
        states = torch.tanh(states @ layers["dense.weight"].T + layers["dense.bias"])
    return states @ layers["out.weight"].T + layers["out.bias"]


def tensor_names(prefix: str, *, has_dense: bool) -> dict[str, str]:
    """Return the name of each of our tensors in a checkpoint of XLM-RoBERTa, where the head has this prefix."""
    out = f"{prefix}.out_proj" if has_dense else prefix
    names = {f"out.{part}": f"{out}.{part}" for part in ("weight", "bias")}
    return names | ({f"dense.{part}": f"{prefix}.dense.{part}" for part in ("weight", "bias")} if has_dense else {})


def _layer(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    with torch.no_grad():
        layer.weight.normal_(0.0, n_in**-0.5, generator=generator)
        layer.bias.zero_()
    return layer
