"""LayerNorm in torch, and the type of a function that makes one.

It must not know kernels, families or rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MakeNorm = Callable[[Tensor, Tensor, float], nn.Module]  # takes weight [width], bias [width] and epsilon


def norm_of(weight: Tensor, bias: Tensor, eps: float) -> nn.LayerNorm:
    """Make a LayerNorm that uses `weight` and `bias` [width] unchanged."""
    with torch.device("meta"):
        norm = nn.LayerNorm(weight.shape[0], eps=eps)
    norm.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return norm.requires_grad_(requires_grad=False)
