"""The keys and values of one sequence, kept between passes.

A pass writes its keys and values after the ones that are there. The caller says how many are valid, so that a pass that
failed half way can run again. This module must not know rows, heads or the weights of layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class Cache:
    """Memory for `capacity` tokens. `stored` is [layers, 2, heads, capacity, head_width]."""

    def __init__(self, stored: Tensor) -> None:
        self.stored = stored

    def write(self, layer: int, first: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write `keys` and `values` [heads, n, head_width] from token `first` on, and return all up to them.

        The returned keys and values are views [heads, first + n, head_width].
        """
        end = first + keys.shape[1]
        self.stored[layer, 0, :, first:end] = keys
        self.stored[layer, 1, :, first:end] = values
        return self.stored[layer, 0, :, :end], self.stored[layer, 1, :, :end]


@dataclass(frozen=True, slots=True)
class CacheShape:
    """The shape, dtype and device of the caches of one backbone."""

    n_layers: int
    n_heads: int
    head_width: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return self.n_layers * 2 * self.n_heads * self.head_width * self.dtype.itemsize

    def make(self, capacity: int) -> Cache:
        """Make an empty cache for `capacity` tokens."""
        shape = (self.n_layers, 2, self.n_heads, capacity, self.head_width)
        return Cache(torch.empty(shape, dtype=self.dtype, device=self.device))
