"""The keys and values of one sequence, kept from pass to pass.

A pass writes what it read behind what is there; what counts as there is said by whoever reads, so that a
pass that broke half way can run again. Must not know rows, heads or layers' weights.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Cache:
    """Room for `capacity` tokens: `stored` is [layers, 2, heads, capacity, head_width]."""

    def __init__(
        self, n_layers: int, n_heads: int, head_width: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.stored = torch.empty(n_layers, 2, n_heads, capacity, head_width, dtype=dtype, device=device)

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep `keys` and `values` [heads, n, head_width] from token `first` on; return all up to them.

        The returned views are [heads, first + n, head_width].
        """
        end = first + keys.shape[1]
        self.stored[layer, 0, :, first:end] = keys
        self.stored[layer, 1, :, first:end] = values
        return self.stored[layer, 0, :, :end], self.stored[layer, 1, :, :end]
