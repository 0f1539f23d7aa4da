"""What rows ask to see of a pass beside its last states: the states of layers, attention probabilities.

Encoders tell it as they go; the engine takes each row's share. Must not know weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from serve.layers.pooling import read_vectors
from serve.rows.pack import Pack
from serve.rows.row import RowOutput


class Trace:
    """The hidden states and attentions of one pass, kept for those rows alone that ask for them.

    States are numbered as the reference numbers `hidden_states`: 0 is what enters the first layer,
    `n_layers` what leaves the last.
    """

    def __init__(self, pack: Pack, n_layers: int) -> None:
        self._pack = pack
        self._layers = {
            member: tuple(layer % (n_layers + 1) for layer in row.layers)
            for member, row in enumerate(pack.rows)
            if row.layers
        }
        self._states: dict[tuple[int, int], Tensor] = {}
        self._attentions: dict[int, list[Tensor]] = {m: [] for m, row in enumerate(pack.rows) if row.attentions}

    def record_states(self, number: int, states: Tensor) -> None:
        """Keep hidden states `number` ([tokens, width] of the whole pack) of the rows that want them."""
        members = [member for member, layers in self._layers.items() if number in layers]
        for member, vectors in zip(members, read_vectors(states, self._pack, members) if members else (), strict=True):
            self._states[member, number] = vectors

    def record_attention(self, layer: int, qkv: Tensor, scale: float, *, causal: bool) -> None:  # noqa: ARG002 - layers come in order
        """Keep softmax(QK^T) of one layer for the rows that want it; `qkv` is [tokens, 3, heads, head_width]."""
        for member, kept in self._attentions.items():
            start = self._pack.spans.starts[member]
            own = qkv[start : start + self._pack.spans.lengths[member]].permute(1, 2, 0, 3)
            scores = (own[0] @ own[1].mT * scale).float()
            if causal:
                scores = scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), float("-inf"))
            kept.append(scores.softmax(-1).cpu())

    def output(self, member: int) -> RowOutput:
        """Return `hidden_states` [1 or tokens, layers, width], and `attentions` [n] with `attention_sizes` [1, layers].

        Where the row asks for them; a layer's size is its heads x tokens x tokens.
        """
        output: dict[str, Tensor] = {}
        if layers := self._layers.get(member):
            output["hidden_states"] = torch.stack([self._states[member, layer] for layer in layers], dim=1)
        if attentions := self._attentions.get(member):
            output["attention_sizes"] = torch.tensor([[own.numel() for own in attentions]], dtype=torch.int32)
            output["attentions"] = torch.stack(attentions).flatten()
        return output


def trace_of(pack: Pack, n_layers: int) -> Trace | None:
    """Return a trace of a pass, or None when no row asks to see more than its answer."""
    asked = any(row.layers or row.attentions for row in pack.rows)
    return Trace(pack, n_layers) if asked else None
