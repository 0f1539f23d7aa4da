"""All post-norm layers of a pass by one call of our kernel in native/fused_layers.c.

Between two calls from Python, a pass waits for the interpreter's lock, which other passes and the event loop hold in
turn. With one call per operator this happens seven times per layer. With this kernel it happens once per pass, or once
per layer if other passes run between layers. The same kernels sum each token in the same order. A pass that runs layer
by layer (for hidden states, attentions or a cache) therefore gives the same bits. This module must not know model
families, names of weights or rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.attention import ALIGN_BYTES, WIDTH_STEP, KernelAttention
from serve.kernels.cpu.guards import check_spans, check_states
from serve.kernels.cpu.layer_norm import KernelNorm
from serve.kernels.cpu.library import kernels_here
from serve.kernels.cpu.products import EPILOGUES, PanelLinear
from serve.layers.attention import Attention
from serve.layers.linear import Activate
from serve.rows.pack import Between, Spans

LayerKernels = tuple[list[PanelLinear], list[KernelNorm]]


class PostNormParts(Protocol):
    """The parts of a layer."""

    qkv: nn.Module
    mix: nn.Module
    mix_norm: nn.Module
    up: nn.Module
    down: nn.Module
    down_norm: nn.Module


class _Backbone(ctypes.Structure):
    """The struct `backbone` of fused_layers.c."""

    _fields_ = (
        ("team", ctypes.c_void_p),
        ("layers", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("heads", "head_width", "inner", "epilogue", "causal")),
        *((name, ctypes.c_float) for name in ("scale", "eps")),
    )


@dataclass(frozen=True, slots=True)
class FusedLayers:
    """The layers of a backbone as one function of packed states. It keeps alive everything that C reads."""

    layers: Sequence[PostNormParts]
    call: Callable[..., None]
    scratch_of: Callable[..., int]
    backbone: _Backbone
    addresses: ctypes.Array[ctypes.c_void_p]

    def __call__(self, states: Tensor, spans: Spans, between: Between | None = None) -> Tensor:
        """Return the states of the last layer for the states of the first, both [tokens, width] in bfloat16.

        With `between`, each layer is a call of its own, and `between` is called before each layer but the first. Raises
        ValueError for states that the kernel cannot read.
        """
        n_tokens, width = sum(spans.lengths), self.backbone.heads * self.backbone.head_width
        check_states(states, n_tokens, width)
        check_spans(spans, n_tokens)
        n_threads = torch.get_num_threads() if self.backbone.team else 1
        scratch_bytes = self.scratch_of(ctypes.byref(self.backbone), max(spans.lengths), n_tokens, n_threads)
        states, scratch = states.contiguous(), torch.empty(n_threads * scratch_bytes + ALIGN_BYTES, dtype=torch.uint8)
        out, contexts, qkv = torch.empty_like(states), torch.empty_like(states), states.new_empty(n_tokens, 3 * width)
        step = len(self.layers) if between is None else 1
        for first in range(0, len(self.layers), step):
            if between is not None and first:
                between()
            self.call(
                ctypes.byref(self.backbone), states.data_ptr(), out.data_ptr(), spans.cumulative_lengths.data_ptr(),
                qkv.data_ptr(), contexts.data_ptr(), -(-scratch.data_ptr() // ALIGN_BYTES) * ALIGN_BYTES,
                first, first + step, n_tokens, len(spans.lengths), scratch_bytes, n_threads,
            )  # fmt: skip
        return out


def fuse_layers(
    layers: Sequence[PostNormParts], how: Attention, n_heads: int, activate: Activate
) -> FusedLayers | None:
    """Return layers of equal shape as one function, or None when the kernels cannot compute one of their parts here."""
    parts = [own for layer in layers if (own := _kernels_of(layer)) is not None]
    library = kernels_here() if len(parts) == len(layers) and activate in EPILOGUES else None
    if not parts or library is None or not isinstance(how.attend, KernelAttention) or not _equal_shapes(parts, n_heads):
        return None
    call, scratch_of = library.glossa_layers, library.glossa_layers_scratch
    call.argtypes, call.restype = [ctypes.c_void_p] * 7 + [ctypes.c_int64] * 6, None
    scratch_of.argtypes, scratch_of.restype = [ctypes.c_void_p] + [ctypes.c_int64] * 3, ctypes.c_int64
    flat: list[int] = []
    for linears, norms in parts:
        flat += chain(*(linear.addresses for linear in linears), *(norm.addresses for norm in norms))
    addresses = (ctypes.c_void_p * len(flat))(*flat)
    (_, _, up, _), (first_norm, _) = parts[0]
    backbone = _Backbone(
        team=team_address(), layers=ctypes.addressof(addresses), heads=n_heads, head_width=up.n_in // n_heads,
        inner=up.n_out, epilogue=EPILOGUES[activate], causal=int(how.causal), scale=how.scale, eps=first_norm.eps,
    )  # fmt: skip
    return FusedLayers(layers, call, scratch_of, backbone, addresses)


def _equal_shapes(parts: Sequence[LayerKernels], n_heads: int) -> bool:
    """Say whether all layers have the shapes of one `backbone`: C takes the first layer's for every layer."""
    (_, _, first_up, _), (first_norm, _) = parts[0]
    width, inner, eps = first_up.n_in, first_up.n_out, first_norm.eps
    if n_heads < 1 or width % n_heads or width // n_heads % WIDTH_STEP:
        return False
    linear_shapes = [(3 * width, width), (width, width), (inner, width), (width, inner)]
    return all(
        [(linear.n_out, linear.n_in) for linear in linears] == linear_shapes
        and [(norm.width, norm.eps) for norm in norms] == [(width, eps)] * len(norms)
        for linears, norms in parts
    )


def _kernels_of(layer: PostNormParts) -> LayerKernels | None:
    """Return the linear layers and norms of a layer, in the order of the struct `layer` of fused_layers.c.

    Return None when one of them is not computed by a kernel.
    """
    asked = (layer.qkv, layer.mix, layer.up, layer.down), (layer.mix_norm, layer.down_norm)
    linears = [part for part in asked[0] if isinstance(part, PanelLinear)]
    norms = [part for part in asked[1] if isinstance(part, KernelNorm)]
    return (linears, norms) if (len(linears), len(norms)) == (len(asked[0]), len(asked[1])) else None
