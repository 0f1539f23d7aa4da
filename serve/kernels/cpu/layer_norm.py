"""LayerNorm in bfloat16 on a CPU, by our kernel in native/layer_norm.c.

serve.kernels.cpu.fused_layers calls the same kernel between products, so that both ways give the same bits. This module
must not know other layers, model families or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_states, check_vector
from serve.kernels.cpu.library import VECTOR_WIDTH, kernels_here
from serve.layers.norms import MakeNorm, norm_of


class KernelNorm(nn.Module):
    """A LayerNorm of float32 sums, rounded once to bfloat16. For the CPU, without gradients."""

    def __init__(self, call: Callable[..., None], weight: Tensor, bias: Tensor, eps: float) -> None:
        """Keep `weight` and `bias` [width], a multiple of 16. Raises ValueError for others."""
        super().__init__()
        width = max(VECTOR_WIDTH, weight.numel() // VECTOR_WIDTH * VECTOR_WIDTH)
        check_vector("a weight", weight, width)
        check_vector("a bias", bias, width)
        self.call, self.eps, self._team = call, eps, team_address()
        self._scale, self._shift = (own.detach().float().contiguous() for own in (weight, bias))

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return len(self._scale)

    @property
    def addresses(self) -> tuple[int, int]:
        """Addresses of weight and bias in float32."""
        return self._scale.data_ptr(), self._shift.data_ptr()

    def forward(self, sums: Tensor) -> Tensor:
        """Return bfloat16 [tokens, width] for sums [tokens, width] in float32, or in bfloat16 if torch computed them.

        Raises ValueError for sums that the kernel cannot read.
        """
        width = self.width
        check_states(sums, None, width, torch.float32, torch.bfloat16)
        sums = sums.float().contiguous()
        normed = torch.empty(sums.shape, dtype=torch.bfloat16)
        self.call(
            sums.data_ptr(), *self.addresses, normed.data_ptr(), self._team,
            len(sums), width, torch.get_num_threads(), self.eps,
        )  # fmt: skip
        return normed


def norm_for(device: torch.device, dtype: torch.dtype) -> MakeNorm:
    """Return the maker of a model's norms: of the kernel if this machine can run it, else of torch."""
    return _norm_here if device.type == "cpu" and dtype == torch.bfloat16 else norm_of


def norm_call(library: ctypes.CDLL) -> Callable[..., None]:
    """Return the LayerNorm of the compiled library."""
    call = library.glossa_norm
    call.argtypes, call.restype = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 3 + [ctypes.c_float], None
    return call


def _norm_here(weight: Tensor, bias: Tensor, eps: float) -> nn.Module:
    library = None if len(weight) % VECTOR_WIDTH else kernels_here()
    return norm_of(weight, bias, eps) if library is None else KernelNorm(norm_call(library), weight, bias, eps)
