"""The LayerNorms of layers: torch's, or in bfloat16 on a CPU by a kernel of our own (native/layer_norm.c).

The kernel's are those that serve.kernels.cpu.fused_layers runs between products, so that a pass has the same bits
however it is run.
Must not know layers, families or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.library import VECTOR_WIDTH, check_states, kernels_here

MakeNorm = Callable[[Tensor, Tensor, float], nn.Module]  # of weight and bias [width], and epsilon


class KernelNorm(nn.Module):
    """A LayerNorm of sums in float32, rounded once, to bfloat16. CPU, no gradients."""

    def __init__(self, call: Callable[..., None], weight: Tensor, bias: Tensor, eps: float) -> None:
        super().__init__()
        self.call, self.eps, self._team = call, eps, team_address()
        self._scale, self._shift = (own.detach().float().contiguous() for own in (weight, bias))

    @property
    def addresses(self) -> tuple[int, int]:
        """Where weight and bias lie, float32."""
        return self._scale.data_ptr(), self._shift.data_ptr()

    def forward(self, sums: Tensor) -> Tensor:
        """Return bfloat16 [tokens, width] of sums [tokens, width], which may be bfloat16 where torch took them."""
        width = len(self._scale)
        check_states(sums, "tokens", width, torch.float32, torch.bfloat16)
        sums = sums.float().contiguous()
        normed = torch.empty(sums.shape, dtype=torch.bfloat16)
        self.call(
            sums.data_ptr(), *self.addresses, normed.data_ptr(), self._team,
            len(sums), width, torch.get_num_threads(), self.eps,
        )  # fmt: skip
        return normed


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


def norm_for(device: torch.device, dtype: torch.dtype) -> MakeNorm:
    """Return what makes the norms of a model's layers: the kernel's where this machine can have it, else torch's."""
    return _norm_here if device.type == "cpu" and dtype == torch.bfloat16 else norm_of


def norm_call(library: ctypes.CDLL) -> Callable[..., None]:
    """Return the LayerNorm of the compiled kernel."""
    call = library.glossa_norm
    call.argtypes, call.restype = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 3 + [ctypes.c_float], None
    return call


def _norm_here(weight: Tensor, bias: Tensor, eps: float) -> nn.Module:
    library = None if len(weight) % VECTOR_WIDTH else kernels_here()
    return norm_of(weight, bias, eps) if library is None else KernelNorm(norm_call(library), weight, bias, eps)
