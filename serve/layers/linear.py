"""Linear layers with a fused epilogue, the pointwise step after the product, and with weights packed for the CPU.

oneDNN reorders a weight at every call unless the weight is kept in oneDNN's own layout. It can also apply GELU or add
the residual while a block of the product is still in the cache, as torch.compile does for a frozen graph. In float32
torch would otherwise call MKL, which uses only half the register width of AMD processors. This module must not know
other layers, families or rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

Activate = Callable[[Tensor], Tensor]
MakeLinear = Callable[[str, Tensor, Tensor | None], nn.Module]  # takes a name, a weight [out, in] and a bias [out]

LAYERS = "layers."  # how the names of a backbone's linear layers begin, in every family
USUAL_TOKENS = 512  # oneDNN chooses the layout for products of this size; other sizes work too
MAX_PADDING_STEP_TOKENS = 16
PACKED = (torch.float32, torch.bfloat16)
FUSED: dict[Activate, tuple[str, str]] = {F.gelu: ("gelu", "none"), F.relu: ("relu", "")}


class FusedLinear(nn.Module, ABC):
    """A linear layer that does the pointwise step after its product in the same call.

    `any_tokens` is true when every number of tokens is equally fast because nothing is compiled for it.
    """

    any_tokens = False

    @abstractmethod
    def activated(self, states: Tensor, activate: Activate) -> Tensor:
        """Return activate(product) [tokens, out] of states [tokens, in]."""

    @abstractmethod
    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Return residual + product [tokens, out] for a norm, in the dtype of the states or a wider one."""


class Prepacked(FusedLinear):
    """A linear layer whose weight [out, in] is stored in oneDNN's layout only.

    It runs on the CPU, without gradients.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), USUAL_TOKENS)  # noqa: SLF001 - torch has no public name
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
        product = torch.ops.mkldnn._linear_pointwise.binary(states, residual, self._weight, self._bias, "add")  # noqa: SLF001 - torch has no public name
        return torch.as_tensor(product)

    def _product(self, states: Tensor, epilogue: str, variant: str) -> Tensor:
        product = torch.ops.mkldnn._linear_pointwise(states, self._weight, self._bias, epilogue, [], variant)  # noqa: SLF001 - torch has no public name
        return torch.as_tensor(product)


def activated(layer: nn.Module, states: Tensor, activate: Activate) -> Tensor:
    """Return activate(layer(states)) [tokens, out], in one call if the layer can do so."""
    if isinstance(layer, FusedLinear):
        return layer.activated(states, activate)
    return activate(layer(states))


def added(layer: nn.Module, states: Tensor, residual: Tensor) -> Tensor:
    """Return residual + layer(states) [tokens, out] for a norm, in one call if the layer can do so."""
    if isinstance(layer, FusedLinear) and residual.dtype == states.dtype:
        return layer.added(states, residual)
    return torch.as_tensor(residual + layer(states))


def with_padding_rows(states: Tensor) -> Tensor:
    """Pad states [tokens, width] with rows of zeros to a common number of tokens. Only on a CPU.

    oneDNN compiles a product for each number of tokens that it has not seen recently. This costs 4 ms in any pass of a
    base or mini model (D72). It is for layers of which `compiles_per_length` is true.
    """
    n_padding = padded_tokens(len(states)) - len(states) if states.is_cpu else 0
    return F.pad(states, (0, 0, 0, n_padding)) if n_padding else states


def compiles_per_length(layers: nn.Module) -> bool:
    """Say whether a product in `layers` may be compiled for its number of tokens."""
    linears = (layer for layer in layers.modules() if isinstance(layer, nn.Linear | FusedLinear))
    return any(not (isinstance(layer, FusedLinear) and layer.any_tokens) for layer in linears)


def padded_tokens(n_tokens: int) -> int:
    """Return the next common number of tokens: at most a sixteenth more than `n_tokens`, and at most 15 more."""
    multiple = (1 << n_tokens.bit_length()) // 32  # a power of 2 between 1/32 and 1/16 of n_tokens
    multiple = min(MAX_PADDING_STEP_TOKENS, max(1, multiple))
    return -(-n_tokens // multiple) * multiple


def linear_of(name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:  # noqa: ARG001 - other makers of this type read it
    """Make a Linear that uses `weight` [out, in] and `bias` [out] unchanged. `name` is its name in the model."""
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}), assign=True)
    return layer.requires_grad_(requires_grad=False)


def prepacked_of(name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Make a Prepacked of a backbone layer. Heads stay Linears, because their weights may be read as plain tensors."""
    return Prepacked(weight, bias) if name.startswith(LAYERS) else linear_of(name, weight, bias)


def can_prepack(device: torch.device, dtype: torch.dtype) -> bool:
    """Say whether oneDNN on this machine supports the dtype."""
    if device.type != "cpu" or dtype not in PACKED or not torch._C._has_mkldnn:  # noqa: SLF001 - its wrapper has no types
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - torch has no public name
