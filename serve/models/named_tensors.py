"""Reads the tensors of linear layers and norms by their names in a checkpoint, and says which shapes they must have.

Both follow the names that torch gives: `weight` and `bias` of a module. All families share this module. It must not
know a family or its layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def weight_and_bias(name: str, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a module."""
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def joined_linears(names: Sequence[str], tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return weight [sum of outs, in] and bias of several linear layers, so that one product computes all of them."""
    parts = [weight_and_bias(name, tensors) for name in names]
    return torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])


def linear_shapes(name: str, out_width: int, in_width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a linear layer."""
    return {f"{name}.weight": (out_width, in_width), f"{name}.bias": (out_width,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a LayerNorm."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
