"""Runs the frozen layers of a network once for each window, and then the network from the first trained layer on.

The classes of transformers give no such entry, so the list of layers and the embeddings are replaced for a while. Must
not know data or losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

BATCH = 16
MAX_BYTES = 2 * 2**30  # of all states; more are computed anew in each epoch
FLOAT_BYTES = 4
States = dict[int, Tensor]  # float32 [tokens, width] of each window, by `id`


class _Given(nn.Module):
    """Stands for the embeddings of a backbone: what enters the first layer is given."""

    def forward(self, inputs_embeds: Tensor, **_others: Any) -> Tensor:
        """Return the states as they are."""
        return inputs_embeds


@contextmanager
def upper_layers(network: Any, windows: Sequence[Any], pad_id: int) -> Iterator[States]:
    """Compute the states of windows below the first trained layer; within the context the network begins there.

    It is then called with `inputs_embeds`. Yields nothing, and leaves the network whole, if there are too many states.
    """
    backbone = getattr(network, network.base_model_prefix, network)
    encoder = backbone.encoder
    layers = list(encoder.layer)
    n_frozen = next(at for at, each in enumerate(layers) if any(own.requires_grad for own in each.parameters()))
    n_bytes = sum(len(window.input_ids) for window in windows) * network.config.hidden_size * FLOAT_BYTES
    if n_bytes > MAX_BYTES:
        yield {}
        return
    embeddings, norm = backbone.embeddings, getattr(encoder, "LayerNorm", None)
    try:
        encoder.layer = nn.ModuleList(layers[:n_frozen])
        if norm is not None:  # of XLM-RoBERTa-XL: it follows the last layer
            encoder.LayerNorm = nn.Identity()
        states = _states(backbone, windows, pad_id)
        if norm is not None:
            encoder.LayerNorm = norm
        encoder.layer, backbone.embeddings = nn.ModuleList(layers[n_frozen:]), _Given()
        yield states
    finally:
        encoder.layer, backbone.embeddings = nn.ModuleList(layers), embeddings
        if norm is not None:
            encoder.LayerNorm = norm


@torch.no_grad()
def _states(backbone: Any, windows: Sequence[Any], pad_id: int) -> States:
    backbone.eval()
    device = next(backbone.parameters()).device
    order = sorted(windows, key=lambda window: len(window.input_ids))
    found: States = {}
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        longest = len(batch[-1].input_ids)
        ids = torch.tensor([[*own.input_ids, *[pad_id] * (longest - len(own.input_ids))] for own in batch])
        mask = torch.tensor([[1] * len(own.input_ids) + [0] * (longest - len(own.input_ids)) for own in batch])
        made = backbone(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state.cpu()
        found |= {id(own): each[: len(own.input_ids)].clone() for own, each in zip(batch, made, strict=True)}
    return found
