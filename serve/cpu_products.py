"""Linears in bfloat16 on a CPU by a product of our own (native/products.c), with the step behind it in one.

oneDNN's product takes a quarter longer on a few rows, where the way of the weights from memory is most of it, and is
compiled anew for each number of rows; ours takes any, and a row's numbers are the same bits in any company. Weights lie
in panels of 32 outputs, pairs of inputs beside each other (the layout of the processor's own instruction).
Where the kernel cannot run, serve.dense.Prepacked does the same by oneDNN, or torch alone.
Must not know layers, families or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.bf16_kernels import check_states, kernels_here
from serve.cores import team_address
from serve.dense import LAYERS, Activate, Fused, MakeLinear, can_prepack, linear_of, prepacked_of

PANEL, INPUTS = 32, 16  # outputs are a multiple of one, inputs of the other
PLAIN, GELU, RELU, ADDED = range(4)  # the steps, as products.c numbers them
STEPS: dict[Activate, int] = {F.gelu: GELU, F.relu: RELU}

Multiply = Callable[..., None]


class KernelLinear(Fused):
    """A Linear whose weight lies in panels; it keeps no other copy. bfloat16, CPU, no gradients."""

    any_tokens = True

    def __init__(self, multiply: Multiply, weight: Tensor, bias: Tensor | None) -> None:
        """Lay out `weight` [out, in]: outputs a multiple of 32, inputs of 16; `bias` is [out]. Raises ValueError."""
        super().__init__()
        _check(weight, bias)
        self.multiply, self._team = multiply, team_address()
        self.n_out, self.n_in = weight.shape
        panels = weight.detach().view(self.n_out // PANEL, PANEL, self.n_in // 2, 2).transpose(1, 2)
        self._weight = panels.clone(memory_format=torch.contiguous_format)  # torch aligns its memory to 64 bytes
        self._bias = torch.zeros(self.n_out)
        if bias is not None:
            self._bias.copy_(bias.detach())

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Where the panels of the weight and the bias lie, bfloat16 and float32, and nowhere scales and offsets."""
        return self._weight.data_ptr(), self._bias.data_ptr(), 0, 0

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
        if residual.dtype != torch.bfloat16 or not residual.is_cpu or residual.shape != (len(states), self.n_out):
            raise ValueError(
                f"got a residual {residual.dtype} {tuple(residual.shape)} on {residual.device}, expected bfloat16"
                f" [{len(states)}, {self.n_out}] on cpu"
            )
        return self._product(states, ADDED, residual.contiguous())

    def _product(self, states: Tensor, step: int, residual: Tensor | None) -> Tensor:
        check_states(states, "tokens", self.n_in)
        states = states.contiguous()
        product = torch.empty(len(states), self.n_out, dtype=torch.float32 if step == ADDED else torch.bfloat16)
        self.multiply(
            states.data_ptr(), self._weight.data_ptr(), self._bias.data_ptr(),
            0 if residual is None else residual.data_ptr(), product.data_ptr(), self._team,
            len(states), self.n_out, self.n_in, step, torch.get_num_threads(),
        )  # fmt: skip
        return product


def _check(weight: Tensor, bias: Tensor | None) -> None:
    """Raise ValueError for what the kernel, which does not look, would read wrongly."""
    fits = weight.dim() == 2 and weight.numel() and not (weight.shape[0] % PANEL or weight.shape[1] % INPUTS)  # noqa: PLR2004 - outputs and inputs
    if weight.dtype != torch.bfloat16 or not weight.is_cpu or not fits:
        raise ValueError(
            f"got a weight {weight.dtype} {tuple(weight.shape)} on {weight.device}, expected bfloat16"
            f" [multiple of {PANEL}, multiple of {INPUTS}] on cpu"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"got a bias {tuple(bias.shape)}, expected [{weight.shape[0]}]")


def linear_for(device: torch.device, dtype: torch.dtype) -> MakeLinear:
    """Return what makes the Linears of a model that is stored as it is: the quickest on this device, in this dtype.

    Without torch's own threads the kernel would use one core where oneDNN uses all.
    """
    other = prepacked_of if can_prepack(device, dtype) else linear_of
    is_ours = device.type == "cpu" and dtype == torch.bfloat16 and team_address()
    library = kernels_here() if is_ours else None
    return other if library is None else partial(_kernel_linear_of, product_of(library), other)


def product_of(library: ctypes.CDLL) -> Multiply:
    """Return the product of the compiled kernel."""
    multiply = library.glossa_multiply
    multiply.argtypes, multiply.restype = [ctypes.c_void_p] * 6 + [ctypes.c_int64] * 5, None
    return multiply


def _kernel_linear_of(
    multiply: Multiply, other: MakeLinear, name: str, weight: Tensor, bias: Tensor | None
) -> nn.Module:
    """Make a KernelLinear of a backbone layer's weights that fit, what `other` makes of any else."""
    if not name.startswith(LAYERS) or weight.shape[0] % PANEL or weight.shape[1] % INPUTS:
        return other(name, weight, bias)
    return KernelLinear(multiply, weight, bias)
