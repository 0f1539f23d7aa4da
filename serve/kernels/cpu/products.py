"""Linear layers in bfloat16 on a CPU, by our product in native/products.c with the pointwise step after it.

oneDNN's product takes a quarter longer for few rows, where reading the weights from memory dominates. It is also
compiled again for each number of rows. Our product takes any number, and a row gives the same bits with any batch
mates. Weights are packed in panels of 32 outputs with pairs of inputs side by side, the layout of the processor's
instruction. Where the kernel cannot run, serve.layers.linear.Prepacked computes the same by oneDNN, or a plain Linear
does. This module must not know other layers, model families or rows.
"""

from __future__ import annotations

import ctypes
from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_states, check_weight
from serve.kernels.cpu.library import product_kernels_here
from serve.layers.linear import LAYERS, Activate, FusedLinear, MakeLinear, can_prepack, linear_of, prepacked_of

PANEL, INPUTS = 32, 16  # the number of outputs is a multiple of the first, that of inputs a multiple of the second
PLAIN, GELU, RELU, ADDED = range(4)  # the steps after a product, as kernels.h numbers them
EPILOGUES: dict[Activate, int] = {F.gelu: GELU, F.relu: RELU}

Multiply = Callable[..., None]


class PanelLinear(FusedLinear):
    """A linear layer whose weight is stored in panels only. For bfloat16 states on a CPU, without gradients."""

    any_tokens = True

    def __init__(self, n_out: int, n_in: int, bias: Tensor | None) -> None:
        """Keep the `bias` [out], or zeros without one. Raises ValueError for a bias of another size."""
        super().__init__()
        if bias is not None and bias.shape != (n_out,):
            raise ValueError(f"got a bias {tuple(bias.shape)}, expected [{n_out}]")
        self.n_out, self.n_in, self._team = n_out, n_in, team_address()
        self._bias = torch.zeros(n_out)
        if bias is not None:
            self._bias.copy_(bias.detach())

    @property
    @abstractmethod
    def addresses(self) -> tuple[int, int, int, int]:
        """Addresses of the weight's panels, the float32 bias, the outputs' scales and their offsets (0 in bfloat16)."""

    @abstractmethod
    def multiply_into(self, product: Tensor, states: Tensor, epilogue: int, residual: int) -> None:
        """Write epilogue(states * weight + bias) into `product`.

        `residual` is the address of the residual for ADDED, else 0.
        """

    def forward(self, states: Tensor) -> Tensor:
        """Return [tokens, out] of states [tokens, in]."""
        return self._product(states, PLAIN, None)

    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out], rounded once."""
        if activate not in EPILOGUES:
            return activate(self(states))
        return self._product(states, EPILOGUES[activate], None)

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out] in float32. Raises ValueError for a residual of another shape."""
        check_states(residual, states.shape[0] if states.dim() else 0, self.n_out, name="a residual")
        return self._product(states, ADDED, residual.contiguous())

    def _product(self, states: Tensor, epilogue: int, residual: Tensor | None) -> Tensor:
        check_states(states, None, self.n_in)
        product = torch.empty(len(states), self.n_out, dtype=torch.float32 if epilogue == ADDED else torch.bfloat16)
        self.multiply_into(product, states.contiguous(), epilogue, 0 if residual is None else residual.data_ptr())
        return product


class KernelLinear(PanelLinear):
    """A linear layer in bfloat16, computed by our kernel."""

    def __init__(self, multiply: Multiply, weight: Tensor, bias: Tensor | None) -> None:
        """Pack `weight` [out, in]: outputs a multiple of 32, inputs of 16.

        Raises ValueError for another shape or dtype.
        """
        check_weight(weight, PANEL, INPUTS)
        super().__init__(weight.shape[0], weight.shape[1], bias)
        self.multiply = multiply
        panels = weight.detach().view(self.n_out // PANEL, PANEL, self.n_in // 2, 2).transpose(1, 2)
        self._weight = panels.clone(memory_format=torch.contiguous_format)  # torch aligns its memory to 64 bytes

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """Addresses of weight and bias; there are no scales and offsets."""
        return self._weight.data_ptr(), self._bias.data_ptr(), 0, 0

    def multiply_into(self, product: Tensor, states: Tensor, epilogue: int, residual: int) -> None:
        """Call the kernel."""
        self.multiply(
            states.data_ptr(), self._weight.data_ptr(), self._bias.data_ptr(), residual, product.data_ptr(), self._team,
            len(states), self.n_out, self.n_in, epilogue, torch.get_num_threads(),
        )  # fmt: skip


def linear_for(device: torch.device, dtype: torch.dtype) -> MakeLinear:
    """Return the maker of an unquantized model's linear layers: the fastest one for this device and dtype.

    Without torch's own threads the kernel is not used, because it would run on one core where oneDNN runs on all.
    """
    other = prepacked_of if can_prepack(device, dtype) else linear_of
    is_ours = device.type == "cpu" and dtype == torch.bfloat16 and team_address()
    library = product_kernels_here() if is_ours else None
    return other if library is None else partial(_kernel_linear_of, product_of(library), other)


def product_of(library: ctypes.CDLL) -> Multiply:
    """Return the product of the compiled library."""
    multiply = library.glossa_multiply
    multiply.argtypes, multiply.restype = [ctypes.c_void_p] * 6 + [ctypes.c_int64] * 5, None
    return multiply


def _kernel_linear_of(
    multiply: Multiply, other: MakeLinear, name: str, weight: Tensor, bias: Tensor | None
) -> nn.Module:
    """Make a KernelLinear of a backbone layer whose weight fits, and otherwise what `other` makes."""
    if not name.startswith(LAYERS) or weight.shape[0] % PANEL or weight.shape[1] % INPUTS:
        return other(name, weight, bias)
    return KernelLinear(multiply, weight, bias)
