"""Linears in bfloat16 on a CPU by a product of our own (native/products.c), with the step behind it in one.

oneDNN's product takes a quarter longer on a few rows, where the way of the weights from memory is most of it, and is
compiled anew for each number of rows; ours takes any, and a row's numbers are the same bits in any company. Weights lie
in panels of 32 outputs, pairs of inputs beside each other (the layout of the processor's own instruction).
Where the kernel cannot run, serve.dense.Prepacked does the same by oneDNN. Must not know layers, families or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.bf16_kernels import NATIVE, load_kernel
from serve.cores import team_address
from serve.dense import LAYERS, Activate, Fused, MakeLinear, can_prepack, linear_of, prepacked_of

SOURCE = NATIVE / "products.c"
PANEL, INPUTS = 32, 16  # outputs are a multiple of one, inputs of the other
PLAIN, GELU, RELU, ADDED = range(4)  # the steps, as products.c numbers them
STEPS: dict[Activate, int] = {F.gelu: GELU, F.relu: RELU}

Multiply = Callable[..., None]


class KernelLinear(Fused):
    """A Linear whose weight lies in panels; it keeps no other copy. bfloat16, CPU, no gradients."""

    any_tokens = True

    def __init__(self, multiply: Multiply, weight: Tensor, bias: Tensor | None) -> None:
        """Lay out `weight` [out, in]: outputs a multiple of 32, inputs of 16."""
        super().__init__()
        self._multiply, self._team = multiply, team_address()
        self.n_out, self.n_in = weight.shape
        panels = weight.detach().view(self.n_out // PANEL, PANEL, self.n_in // 2, 2).transpose(1, 2)
        self._weight = panels.clone(memory_format=torch.contiguous_format)  # torch aligns its memory to 64 bytes
        self._bias = torch.zeros(self.n_out) if bias is None else bias.detach().float()

    def forward(self, states: Tensor) -> Tensor:
        """Return [tokens, out] of states [tokens, in]."""
        return self._product(states, PLAIN, None)

    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out], rounded once."""
        if activate not in STEPS:
            return activate(self(states))
        return self._product(states, STEPS[activate], None)

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out], rounded once."""
        if residual.dtype != torch.bfloat16 or residual.shape != (len(states), self.n_out):
            raise ValueError(
                f"got a residual {residual.dtype} {tuple(residual.shape)}, expected bfloat16"
                f" [{len(states)}, {self.n_out}]"
            )
        return self._product(states, ADDED, residual.contiguous())

    def _product(self, states: Tensor, step: int, residual: Tensor | None) -> Tensor:
        if states.dtype != torch.bfloat16 or not states.is_cpu or states.shape != (len(states), self.n_in):
            raise ValueError(  # the kernel does not look
                f"got states {states.dtype} {tuple(states.shape)} on {states.device}, expected bfloat16"
                f" [tokens, {self.n_in}] on cpu"
            )
        states = states.contiguous()
        product = states.new_empty(len(states), self.n_out)
        self._multiply(
            states.data_ptr(), self._weight.data_ptr(), self._bias.data_ptr(),
            0 if residual is None else residual.data_ptr(), product.data_ptr(), self._team,
            len(states), self.n_out, self.n_in, step, torch.get_num_threads(),
        )  # fmt: skip
        return product


def linear_for(device: torch.device, dtype: torch.dtype) -> MakeLinear:
    """Return what makes the Linears of a model that is stored as it is: the quickest on this device, in this dtype."""
    if not can_prepack(device, dtype):
        return linear_of
    multiply = product_kernel() if dtype == torch.bfloat16 else None
    return prepacked_of if multiply is None else partial(_kernel_linear_of, multiply)


def product_kernel(source: Path = SOURCE) -> Multiply | None:
    """Return the product of this machine; None where it, its compiler or its OpenMP library cannot have it.

    Without torch's own threads it would use one core where oneDNN uses all.
    """
    library = load_kernel(source) if team_address() else None
    if library is None:
        return None
    multiply = library.glossa_multiply
    multiply.argtypes, multiply.restype = [ctypes.c_void_p] * 6 + [ctypes.c_int64] * 5, None
    return multiply


def _kernel_linear_of(multiply: Multiply, name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Make a KernelLinear of a backbone layer's weights that fit; others as `prepacked_of` does."""
    if not name.startswith(LAYERS) or weight.shape[0] % PANEL or weight.shape[1] % INPUTS:
        return prepacked_of(name, weight, bias)
    return KernelLinear(multiply, weight, bias)
