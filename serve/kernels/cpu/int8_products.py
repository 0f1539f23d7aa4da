"""Linear layers in 8-bit integers on a CPU, by our product in native/products.c with the steps around it.

The method is that of serve.kernels.cpu.onednn_int8: weights are rounded once with one scale per output, states at every
product with one scale per token. oneDNN multiplies integers only. Rounding before it and scaling after it are separate
calls, and it rounds its result. Here sums stay integers in registers until they are scaled, and all layers can run in
one call (serve.kernels.cpu.fused_layers). Where the kernel cannot run, onednn_int8 computes the same with oneDNN. This
module must not know other layers, model families or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_weight
from serve.kernels.cpu.library import product_kernels_here
from serve.kernels.cpu.onednn_int8 import ZERO_POINT, Int8Linear, to_int8
from serve.kernels.cpu.products import PANEL, PanelLinear

INPUTS = 32  # the number of inputs is a multiple of this
MAX_INPUTS = 2**17  # integer sums of so many inputs stay below 2^31
GROUP = 4  # int8 values that one instruction multiplies and adds
SCALE_BYTES = 4

MultiplyInt8 = Callable[..., None]


class Int8KernelLinear(PanelLinear):
    """A linear layer in int8, computed by our kernel."""

    def __init__(self, multiply: MultiplyInt8, weight: Tensor, bias: Tensor | None) -> None:
        """Quantize and pack `weight` [out, in], both multiples of 32.

        Raises ValueError for another shape or dtype, and CheckpointError for a weight that is not finite.
        """
        check_weight(weight, PANEL, INPUTS, torch.float32, torch.bfloat16)
        if weight.shape[1] > MAX_INPUTS:
            raise ValueError(f"got a weight of {weight.shape[1]} inputs, expected at most {MAX_INPUTS}")
        super().__init__(weight.shape[0], weight.shape[1], bias)
        self.multiply = multiply
        int8_values, self._scales = to_int8(weight)
        self._offsets = -ZERO_POINT * int8_values.sum(1, dtype=torch.int32)
        panels = int8_values.view(self.n_out // PANEL, PANEL, self.n_in // GROUP, GROUP).transpose(1, 2)
        self._weight = panels.clone(memory_format=torch.contiguous_format)  # torch aligns its memory to 64 bytes

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Addresses of the weight, the bias, the scales of the outputs, and the offsets of their sums."""
        return self._weight.data_ptr(), self._bias.data_ptr(), self._scales.data_ptr(), self._offsets.data_ptr()

    def multiply_into(self, product: Tensor, states: Tensor, epilogue: int, residual: int) -> None:
        """Call the kernel."""
        room = torch.empty(int8_scratch_bytes(len(states), self.n_in), dtype=torch.uint8)
        weight, bias, scales, offsets = self.addresses
        self.multiply(
            states.data_ptr(), weight, scales, offsets, bias, residual, product.data_ptr(), room.data_ptr(), self._team,
            len(states), self.n_out, self.n_in, epilogue, torch.get_num_threads(),
        )  # fmt: skip


def int8_scratch_bytes(n_tokens: int, n_in: int) -> int:
    """Return the bytes of the int8 values of states [n_tokens, n_in] and of their scales."""
    return n_tokens * (n_in + SCALE_BYTES)


def fits(weight: Tensor) -> bool:
    """Say whether the kernel can read a weight [out, in]."""
    n_out, n_in = weight.shape
    return weight.is_cpu and n_in <= MAX_INPUTS and not (n_out % PANEL or n_in % INPUTS)


def int8_linear(layer: nn.Linear) -> nn.Module:
    """Return the layer in int8, by our kernel if this machine can run it, else by oneDNN.

    Raises CheckpointError for a weight that is not finite, or when there is no C compiler.
    """
    library = product_kernels_here() if team_address() and fits(layer.weight) else None
    multiply = None if library is None else int8_product_of(library)
    if multiply is None:
        return Int8Linear(layer.weight, layer.bias)
    return Int8KernelLinear(multiply, layer.weight, layer.bias)


def int8_product_of(library: ctypes.CDLL) -> MultiplyInt8 | None:
    """Return the int8 product of the compiled library, or None in variants that have none."""
    multiply: MultiplyInt8 | None = getattr(library, "glossa_multiply_int8", None)
    if multiply is not None:
        library.glossa_multiply_int8.argtypes = [ctypes.c_void_p] * 9 + [ctypes.c_int64] * 5
        library.glossa_multiply_int8.restype = None
    return multiply
