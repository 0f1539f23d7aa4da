"""The LayerNorms of layers: torch's, or in bfloat16 on a CPU by a kernel of our own (native/layer_norm.c).

The kernel's are those that serve.kernels.cpu.fused_layers runs between products, so that a pass has the same bits
however it is run.
Must not know layers, families or rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

MakeNorm = Callable[[Tensor, Tensor, float], nn.Module]  # of weight and bias [width], and epsilon


def normed(norm: nn.Module, sums: Tensor) -> Tensor:
    """Return norm(sums) [tokens, width] in the norm's dtype, rounded once: torch's reads no wider sums by itself."""
    if not isinstance(norm, nn.LayerNorm) or sums.dtype == norm.weight.dtype:
        return torch.as_tensor(norm(sums))
    weight, bias = norm.weight.to(sums.dtype), norm.bias.to(sums.dtype)
    return F.layer_norm(sums, norm.normalized_shape, weight, bias, norm.eps).to(norm.weight.dtype)


def norm_of(weight: Tensor, bias: Tensor, eps: float) -> nn.LayerNorm:
    """Make a LayerNorm that keeps `weight` and `bias` [width] as they are."""
    with torch.device("meta"):
        norm = nn.LayerNorm(weight.shape[0], eps=eps)
    norm.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    return norm.requires_grad_(requires_grad=False)
