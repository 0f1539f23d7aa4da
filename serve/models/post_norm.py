"""The layers of XLM and XLM-RoBERTa: attention and feed-forward, each followed by its residual and its LayerNorm.

It must not know names in checkpoints, embeddings or how rows were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.kernels.cpu.fused_layers import FusedLayers, fuse_layers
from serve.layers.attention import Attention
from serve.layers.linear import Activate, activated, added, compiles_per_length, with_padding_rows
from serve.layers.parts import ModelParts
from serve.layers.trace import Trace
from serve.rows.pack import Pack

Pair = tuple[Tensor, Tensor]  # a weight and a bias


@dataclass(frozen=True, slots=True)
class PostNormTensors:
    """The tensors of one layer: linear weights [out, in] and LayerNorm weights [width], each with its bias.

    `mix` is the output projection of the attention; `up` and `down` are the two feed-forward layers.
    """

    qkv: Pair
    mix: Pair
    mix_norm: Pair
    up: Pair
    down: Pair
    down_norm: Pair


@dataclass(frozen=True, slots=True)
class PostNormShape:
    """What all layers of a backbone share besides their sizes."""

    attention: Attention
    n_heads: int
    activate: Activate
    eps: float


class PostNorm(nn.Module):
    """One layer on packed states [tokens, width]. Queries, keys and values are one product."""

    def __init__(self, index: int, shape: PostNormShape, tensors: PostNormTensors, parts: ModelParts) -> None:
        super().__init__()
        self.index, self.shape = index, shape
        self.qkv = parts.linear(f"layers.{index}.qkv", *tensors.qkv)
        self.mix = parts.linear(f"layers.{index}.mix", *tensors.mix)
        self.mix_norm = parts.norm(*tensors.mix_norm, shape.eps)
        self.up = parts.linear(f"layers.{index}.up", *tensors.up)
        self.down = parts.linear(f"layers.{index}.down", *tensors.down)
        self.down_norm = parts.norm(*tensors.down_norm, shape.eps)

    def forward(self, states: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        """Return the states [tokens, width] after this layer."""
        qkv = self.qkv(states).view(states.shape[0], 3, self.shape.n_heads, -1)
        contexts = self.shape.attention(self.index, qkv, pack, trace)
        states = normed(self.mix_norm, added(self.mix, contexts, states))
        inner = activated(self.up, states, self.shape.activate)
        return normed(self.down_norm, added(self.down, inner, states))


class PostNormLayers(nn.Module):
    """All layers of a backbone.

    They run as one call of serve.kernels.cpu.fused_layers, if it supports them and no row asks for more than the last
    states.
    """

    def __init__(self, shape: PostNormShape, tensors: Sequence[PostNormTensors], parts: ModelParts) -> None:
        super().__init__()
        layers = [PostNorm(index, shape, own, parts) for index, own in enumerate(tensors)]
        self.layers = nn.ModuleList(layers)
        self._compiles = compiles_per_length(self.layers)
        self._fused: FusedLayers | None = fuse_layers(layers, shape.attention, shape.n_heads, shape.activate)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def forward(self, states: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        """Return the states [tokens, width] of the last layer, and record all states in `trace`."""
        if self._fused is not None and trace is None and not (pack.n_resumed or pack.cache_writers):
            return self._fused(states, pack.spans, pack.between)
        states = with_padding_rows(states) if self._compiles and trace is None else states
        for number, layer in enumerate(self.layers):
            pack.run_between(number)
            if trace is not None:
                trace.record_states(number, states)
            states = layer(states, pack, trace)
        if trace is not None:
            trace.record_states(len(self), states)
        return states[: len(pack.ids)]


def normed(norm: nn.Module, sums: Tensor) -> Tensor:
    """Return norm(sums) [tokens, width] in the dtype of the norm, rounded once.

    The LayerNorm of torch does not accept sums in a wider dtype than its weights, so that the weights are converted
    here.
    """
    if not isinstance(norm, nn.LayerNorm) or sums.dtype == norm.weight.dtype:
        return torch.as_tensor(norm(sums))
    weight, bias = norm.weight.to(sums.dtype), norm.bias.to(sums.dtype)
    return F.layer_norm(sums, norm.normalized_shape, weight, bias, norm.eps).to(norm.weight.dtype)
