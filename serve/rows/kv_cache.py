"""The keys and values of one sequence, kept from pass to pass.

A pass writes what it read behind what is there; how much is there is for its reader to say, so that a
pass that broke half way can run again. Must not know rows, heads or layers' weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class Cache:
    """Room for `capacity` tokens: `stored` is [layers, 2, heads, capacity, head_width]."""

    def __init__(self, stored: Tensor) -> None:
        self.stored = stored

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep `keys` and `values` [heads, n, head_width] from token `first` on; return all up to them.

        The returned views are [heads, first + n, head_width].
        """
        end = first + keys.shape[1]
        self.stored[layer, 0, :, first:end] = keys
        self.stored[layer, 1, :, first:end] = values
        return self.stored[layer, 0, :, :end], self.stored[layer, 1, :, :end]


@dataclass(frozen=True, slots=True)
class Caching:
    """The caches of one backbone: their shape, and where they live."""

    n_layers: int
    n_heads: int
    head_width: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes that one token's keys and values take."""
        return self.n_layers * 2 * self.n_heads * self.head_width * self.dtype.itemsize

    def make(self, capacity: int) -> Cache:
        """Make an empty cache for `capacity` tokens."""
        shape = (self.n_layers, 2, self.n_heads, capacity, self.head_width)
        return Cache(torch.empty(shape, dtype=self.dtype, device=self.device))
