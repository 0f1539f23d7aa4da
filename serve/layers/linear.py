"""Linears that carry the pointwise step behind them, and their weights laid out once for the CPU's matrix product.

oneDNN rearranges a weight at every call unless it is kept in its own layout, and can apply GELU or add the residual
while a block of the product is still in cache (what torch.compile does when it freezes a graph). In float32 torch would
else call MKL, which leaves half of the width of an AMD processor's registers unused.
Must not know layers, families or rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

Activate = Callable[[Tensor], Tensor]
MakeLinear = Callable[[str, Tensor, Tensor | None], nn.Module]  # of a name, a weight [out, in] and a bias [out]

LAYERS = "layers."  # where the Linears of a backbone's layers stand, in every family
USUAL_TOKENS = 512  # the product for which oneDNN chooses the layout; any other number of tokens is answered too
MAX_PADDING_STEP_TOKENS = 16
PACKED = (torch.float32, torch.bfloat16)
FUSED: dict[Activate, tuple[str, str]] = {F.gelu: ("gelu", "none"), F.relu: ("relu", "")}


class FusedLinear(nn.Module, ABC):
    """A Linear that does the step behind its product in one with it.

    `any_tokens`: any number of tokens is as good as another; nothing is compiled for it.
    """

    any_tokens = False

    @abstractmethod
    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out] of states [tokens, in]."""

    @abstractmethod
    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out], for a norm, in a dtype as wide as states' or wider."""


class Prepacked(FusedLinear):
    """A Linear whose weight [out, in] lies in oneDNN's layout; it keeps no other copy. CPU, no gradients."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), USUAL_TOKENS)  # noqa: SLF001 - torch has no other name for it
        self._bias = None if bias is None else bias.detach()

    def forward(self, states: Tensor) -> Tensor:
        """Return [tokens, out] of states [tokens, in]."""
        return self._product(states, "none", "")

    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out], rounded once."""
        if activate not in FUSED:
            return activate(self(states))
        return self._product(states, *FUSED[activate])

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out], rounded once."""
        product = torch.ops.mkldnn._linear_pointwise.binary(states, residual, self._weight, self._bias, "add")  # noqa: SLF001 - as above
        return torch.as_tensor(product)

    def _product(self, states: Tensor, step: str, variant: str) -> Tensor:
        product = torch.ops.mkldnn._linear_pointwise(states, self._weight, self._bias, step, [], variant)  # noqa: SLF001 - as above
        return torch.as_tensor(product)


def activated(layer: nn.Module, states: Tensor, activate: Activate) -> Tensor:
    """Return activate(layer(states)), in one step where the layer can."""
    if isinstance(layer, FusedLinear):
        return layer.activated(states, activate)
    return activate(layer(states))


def added(layer: nn.Module, states: Tensor, residual: Tensor) -> Tensor:
    """Return residual + layer(states), for a norm, in one step where the layer can."""
    if isinstance(layer, FusedLinear) and residual.dtype == states.dtype:
        return layer.added(states, residual)
    return torch.as_tensor(residual + layer(states))


def with_padding_rows(states: Tensor) -> Tensor:
    """Return states [tokens, width] with rows of zeros behind them on a CPU, up to a number of tokens that comes often.

    oneDNN compiles every product anew for a number of tokens that it has not met lately: 4 ms of any pass of base or
    mini (D72). For layers of which some product is so compiled (`compiles_per_length`).
    """
    n_padding = padded_tokens(len(states)) - len(states) if states.is_cpu else 0
    return F.pad(states, (0, 0, 0, n_padding)) if n_padding else states


def compiles_per_length(layers: nn.Module) -> bool:
    """Whether a product of some Linear in `layers` may be compiled for its number of tokens."""
    linears = (layer for layer in layers.modules() if isinstance(layer, nn.Linear | FusedLinear))
    return any(not (isinstance(layer, FusedLinear) and layer.any_tokens) for layer in linears)


def padded_tokens(n_tokens: int) -> int:
    """Return the next of the numbers of tokens that products are made for: at most a sixteenth more, and at most 15."""
    step = min(MAX_PADDING_STEP_TOKENS, max(1, 1 << n_tokens.bit_length() >> 5))
    return -(-n_tokens // step) * step


def linear_of(name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:  # noqa: ARG001 - other makers read it
    """Make a Linear that keeps `weight` [out, in] and `bias` [out] as they are. `name` says where it stands."""
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}), assign=True)
    return layer.requires_grad_(requires_grad=False)


def prepacked_of(name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Make a Prepacked of a backbone layer's weights; heads, which may be read as plain tensors, stay Linears."""
    return Prepacked(weight, bias) if name.startswith(LAYERS) else linear_of(name, weight, bias)


def can_prepack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this machine's oneDNN takes the dtype."""
    if device.type != "cpu" or dtype not in PACKED or not torch._C._has_mkldnn:  # noqa: SLF001 - its wrapper has no types
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - as above
