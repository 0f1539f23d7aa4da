"""Attention of packed rows in bfloat16 on a CPU, by one call of our kernel in native/attention.c.

The kernel takes one row and one head at a time. It packs keys and values once in the order that the processor
multiplies them. Then it takes a few queries at a time: it scores all keys, computes the softmax while the scores are in
the nearest cache, and weighs all values. As in FlashAttention (Dao et al. 2022), only the scores of a few queries exist
at a time. torch's products would copy queries, keys, values and contexts, and write and read every score four times.
Where the kernel cannot run, serve.layers.attention.attend_products computes the same. This module must not know other
layers or weights.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_spans
from serve.kernels.cpu.library import kernels_here
from serve.rows.pack import Spans

WIDTH_STEP = 16  # the kernel needs heads with a width that is a multiple of this
ALIGN_BYTES = 64
QKV_DIMENSIONS = 4  # tokens, 3, heads, head width


@dataclass(frozen=True, slots=True)
class KernelAttention:
    """The kernel as a serve.layers.attention.Attend. `team` comes from `serve.kernels.core_team.team_address`."""

    attend: Callable[..., None]
    scratch_of: Callable[[int, int], int]
    team: int

    def __call__(self, qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - callers of Attend pass it by position
        """Return the contexts [tokens, heads * head_width] of `qkv` [tokens, 3, heads, head_width], both bfloat16.

        Raises ValueError for a shape, dtype or device that the kernel cannot read, or for spans that do not fit.
        """
        n_tokens = sum(spans.lengths)
        fits = qkv.dim() == QKV_DIMENSIONS and qkv.shape[:2] == (n_tokens, 3)
        if qkv.dtype != torch.bfloat16 or not qkv.is_cpu or not fits or not qkv.shape[2] or qkv.shape[3] % WIDTH_STEP:
            raise ValueError(
                f"got states {qkv.dtype} {tuple(qkv.shape)} on {qkv.device}, expected bfloat16 [{n_tokens}, 3, heads,"
                f" multiple of {WIDTH_STEP}] on cpu"
            )
        check_spans(spans, n_tokens)
        heads, width = qkv.shape[2:]
        qkv, contexts = qkv.contiguous(), qkv.new_empty(n_tokens, heads * width)
        n_threads = torch.get_num_threads() if self.team else 1
        scratch_bytes = self.scratch_of(max(spans.lengths), width)
        scratch = torch.empty(n_threads * scratch_bytes + ALIGN_BYTES, dtype=torch.uint8)
        aligned = -(-scratch.data_ptr() // ALIGN_BYTES) * ALIGN_BYTES
        self.attend(
            qkv.data_ptr(), contexts.data_ptr(), spans.cumulative_lengths.data_ptr(), aligned, self.team,
            len(spans.lengths), heads, width, scratch_bytes, int(causal), n_threads, scale,
        )  # fmt: skip
        return contexts


def kernel_attention(head_width: int) -> KernelAttention | None:
    """Return the kernel for heads of this width in bfloat16, or None when this machine cannot run or compile it."""
    library = kernels_here() if head_width % WIDTH_STEP == 0 else None
    return None if library is None else attention_of(library)


@cache
def attention_of(library: ctypes.CDLL) -> KernelAttention:
    """Return the attention of the compiled library."""
    attend, scratch_of = library.glossa_attend, library.glossa_attend_scratch
    attend.argtypes, attend.restype = [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 6 + [ctypes.c_float], None
    scratch_of.argtypes, scratch_of.restype = [ctypes.c_int64] * 2, ctypes.c_int64
    return KernelAttention(attend, scratch_of, team_address())
