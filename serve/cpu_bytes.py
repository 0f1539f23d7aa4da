"""Linears in 8-bit integers on a CPU by a product of our own (native/products.c), with the steps around it.

The method is serve.int8's: weights rounded once by output, states at every product by token. oneDNN's product is of
bytes alone: rounding before it and scales behind it are calls of their own, and it rounds what it hands on. Here sums
stay whole numbers in registers until they are scaled, and layers in 8 bits go by one call (serve.cpu_layers).
Where the kernel cannot run, serve.int8 does the same by oneDNN.
Must not know layers, families or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor, nn

from serve.bf16_kernels import check_states, kernels_here
from serve.cores import team_address
from serve.cpu_products import ADDED, PANEL, PLAIN, STEPS
from serve.dense import Activate, Fused
from serve.int8 import ZERO_POINT, Int8Linear, in_levels

INPUTS = 32  # they are a multiple of it
GROUP = 4  # levels that are multiplied at a time
SCALE_BYTES = 4

MultiplyBytes = Callable[..., None]


class KernelBytes(Fused):
    """A Linear whose weight lies in panels of bytes; it keeps no other copy. bfloat16 states, CPU, no gradients."""

    any_tokens = True

    def __init__(self, multiply: MultiplyBytes, weight: Tensor, bias: Tensor | None) -> None:
        """Lay out `weight` [out, in], for which `fits` holds; `bias` is [out]. Raises CheckpointError unless finite."""
        super().__init__()
        self.multiply, self._team = multiply, team_address()
        self.n_out, self.n_in = weight.shape
        levels, self._scales = in_levels(weight)
        self._offsets = -ZERO_POINT * levels.sum(1, dtype=torch.int32)
        panels = levels.view(self.n_out // PANEL, PANEL, self.n_in // GROUP, GROUP).transpose(1, 2)
        self._weight = panels.clone(memory_format=torch.contiguous_format)  # torch aligns its memory to 64 bytes
        self._bias = torch.zeros(self.n_out) if bias is None else bias.detach().float().contiguous()

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Where the panels of the weight, the bias, the outputs' scales and the offsets of their sums lie."""
        return self._weight.data_ptr(), self._bias.data_ptr(), self._scales.data_ptr(), self._offsets.data_ptr()

    def forward(self, states: Tensor) -> Tensor:
        """Return [tokens, out] of states [tokens, in]."""
        return self._product(states, PLAIN, None)

    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out], rounded once."""
        if activate not in STEPS:
            return activate(self(states))
        return self._product(states, STEPS[activate], None)

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out], float32."""
        check_states(residual, len(states), self.n_out)
        return self._product(states, ADDED, residual.contiguous())

    def _product(self, states: Tensor, step: int, residual: Tensor | None) -> Tensor:
        check_states(states, "tokens", self.n_in)
        states, n_tokens = states.contiguous(), len(states)
        product = torch.empty(n_tokens, self.n_out, dtype=torch.float32 if step == ADDED else torch.bfloat16)
        room = torch.empty(room_bytes(n_tokens, self.n_in), dtype=torch.uint8)
        weight, bias, scales, offsets = self.addresses
        self.multiply(
            states.data_ptr(), weight, scales, offsets, bias, 0 if residual is None else residual.data_ptr(),
            product.data_ptr(), room.data_ptr(), self._team,
            n_tokens, self.n_out, self.n_in, step, torch.get_num_threads(),
        )  # fmt: skip
        return product


def room_bytes(n_tokens: int, n_in: int) -> int:
    """Return what the levels of states [n_tokens, n_in] and their scales take."""
    return n_tokens * (n_in + SCALE_BYTES)


def fits(weight: Tensor) -> bool:
    """Whether the kernel can take a weight [out, in]."""
    n_out, n_in = weight.shape
    return weight.is_cpu and not (n_out % PANEL or n_in % INPUTS)


def int8_linear(layer: nn.Linear) -> nn.Module:
    """Return the layer in 8 bits, by our product where this machine can have it, else by oneDNN's.

    Raises CheckpointError for a weight that is not finite, or without a C compiler.
    """
    library = kernels_here() if team_address() and fits(layer.weight) else None
    multiply = None if library is None else bytes_of(library)
    return Int8Linear(layer.weight, layer.bias) if multiply is None else KernelBytes(multiply, layer.weight, layer.bias)


def bytes_of(library: ctypes.CDLL) -> MultiplyBytes | None:
    """Return the product of bytes of the compiled kernels; None in variants that have none."""
    multiply: MultiplyBytes | None = getattr(library, "glossa_multiply_bytes", None)
    if multiply is not None:
        library.glossa_multiply_bytes.argtypes = [ctypes.c_void_p] * 9 + [ctypes.c_int64] * 5
        library.glossa_multiply_bytes.restype = None
    return multiply
