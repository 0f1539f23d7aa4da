"""Records what rows ask to see of a pass besides their answer: hidden states of layers and attention probabilities.

Encoders call it during the pass; the engine then takes each row's part. It must not know weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from serve.layers.pooling import read_vectors
from serve.rows.pack import Pack
from serve.rows.row import RowOutput


class Trace:
    """The hidden states and attentions of one pass, recorded only for the rows that ask for them.

    States are numbered as `hidden_states` of `transformers`: 0 enters the first layer, `n_layers` leaves the last.
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
        """Record hidden states number `number`, [tokens, width] of the whole pack, for the rows that ask for them."""
        members = [member for member, layers in self._layers.items() if number in layers]
        for member, vectors in zip(members, read_vectors(states, self._pack, members) if members else (), strict=True):
            self._states[member, number] = vectors

    def record_attention(self, layer: int, qkv: Tensor, scale: float, *, causal: bool) -> None:  # noqa: ARG002 - layers come in order
        """Record softmax(QK^T) of one layer for the rows that ask for it. `qkv` is [tokens, 3, heads, head_width]."""
        for member, kept in self._attentions.items():
            start = self._pack.spans.starts[member]
            own = qkv[start : start + self._pack.spans.lengths[member]].permute(1, 2, 0, 3)
            scores = (own[0] @ own[1].mT * scale).float()
            if causal:
                scores = scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), float("-inf"))
            kept.append(scores.softmax(-1).cpu())

    def output(self, member: int) -> RowOutput:
        """Return what the row asked for.

        `hidden_states` are [1 or tokens, layers, width]. `attentions` are flat [n], with `attention_sizes` [1, layers];
        the size of a layer is heads x tokens x tokens.
        """
        output: dict[str, Tensor] = {}
        if layers := self._layers.get(member):
            output["hidden_states"] = torch.stack([self._states[member, layer] for layer in layers], dim=1)
        if attentions := self._attentions.get(member):
            output["attention_sizes"] = torch.tensor([[own.numel() for own in attentions]], dtype=torch.int32)
            output["attentions"] = torch.stack(attentions).flatten()
        return output
