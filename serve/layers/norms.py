"""LayerNorm in torch, and the type of a function that makes one.

It must not know kernels, families or rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

MakeNorm = Callable[[Tensor, Tensor, float], nn.Module]  # takes weight [width], bias [width] and epsilon


def normed(norm: nn.Module, sums: Tensor) -> Tensor:
    """Return norm(sums) [tokens, width] in the dtype of the norm, rounded once.

    The LayerNorm of torch does not accept sums in a wider dtype than its weights, so that the weights are converted
    here.
    """
    if not isinstance(norm, nn.LayerNorm) or sums.dtype == norm.weight.dtype:
        return torch.as_tensor(norm(sums))
    weight, bias = norm.weight.to(sums.dtype), norm.bias.to(sums.dtype)
    return F.layer_norm(sums, norm.normalized_shape, weight, bias, norm.eps).to(norm.weight.dtype)


def norm_of(weight: Tensor, bias: Tensor, eps: float) -> nn.LayerNorm:
    """Make a LayerNorm that uses `weight` and `bias` [width] unchanged."""
    with torch.device("meta"):
        norm = nn.LayerNorm(weight.shape[0], eps=eps)
    norm.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return norm.requires_grad_(requires_grad=False)
