"""The states that enter the first layer of XLM-RoBERTa, in bfloat16 on a CPU, by one call of C (native/embeddings.c).

Each operator of torch lets go of the interpreter's lock and waits to have it again; positions, three tables, their sum
and its LayerNorm are about twenty. Where the kernel cannot run, serve.families.xlm_roberta does the same in torch.
Must not know checkpoints or layers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from serve.bf16_kernels import NATIVE, kernel_here
from serve.cores import team_address
from serve.pack import Pack

SOURCE = NATIVE / "embeddings.c"
WIDTH_STEP = 16  # the kernel takes widths that are a multiple of it


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """What the states that enter the first layer are made of.

    `words` [vocabulary, width]; in float32 `places` [positions, width], `types` [types, width], of which type 0 adds
    nothing, and the LayerNorm's `scale` and `shift` [width]. Positions count from `pad_id` + 1.
    """

    words: nn.Module
    places: Tensor
    types: Tensor
    scale: Tensor
    shift: Tensor
    eps: float
    pad_id: int


Embed = Callable[[Pack], Tensor]
MakeEmbed = Callable[[EmbeddingTables], Embed | None]


class KernelEmbeddings:
    """The kernel over a model's tables, which it keeps hold of."""

    def __init__(self, call: Callable[..., None], tables: EmbeddingTables, words: Tensor) -> None:
        self._call, self._tables, self._words, self._team = call, tables, words, team_address()

    def __call__(self, pack: Pack) -> Tensor:
        """Return the normalised sums [tokens, width], bfloat16."""
        tables, ids = self._tables, pack.ids.to(torch.int32).contiguous()
        states = self._words.new_empty(len(ids), self._words.shape[1])
        beside = (pack.position_ids, pack.token_type_ids)
        given = [None if own is None else own.to(torch.int64).contiguous() for own in beside]
        self._call(
            ids.data_ptr(), *(0 if own is None else own.data_ptr() for own in given), pack.spans.bounds.data_ptr(),
            self._words.data_ptr(), tables.places.data_ptr(), tables.types.data_ptr(), tables.scale.data_ptr(),
            tables.shift.data_ptr(), states.data_ptr(), self._team,
            len(pack.spans.lengths), self._words.shape[1], tables.pad_id,
            torch.get_num_threads(), tables.eps,
        )  # fmt: skip
        return states


def no_embed(tables: EmbeddingTables) -> Embed | None:  # noqa: ARG001 - other makers read them
    """Make nothing: the family's own operators do it."""
    return None


def embed_for(device: torch.device, dtype: torch.dtype) -> MakeEmbed:
    """Return what makes the embeddings of a model: the kernel's where this machine can have it, else nothing."""
    library = kernel_here(SOURCE) if device.type == "cpu" and dtype == torch.bfloat16 else None
    return no_embed if library is None else partial(kernel_embed, embed_call(library))


def embed_call(library: ctypes.CDLL) -> Callable[..., None]:
    """Return the embeddings of the compiled kernel."""
    call: Callable[..., None] = library.glossa_embed
    library.glossa_embed.argtypes = [ctypes.c_void_p] * 11 + [ctypes.c_int64] * 4 + [ctypes.c_float]
    library.glossa_embed.restype = None
    return call


def kernel_embed(call: Callable[..., None], tables: EmbeddingTables) -> Embed | None:
    """Make the kernel's embeddings of tables that it can read: words of bfloat16 as they are, a width that fits."""
    words = tables.words.weight if isinstance(tables.words, nn.Embedding) else None
    fits = words is not None and words.dtype == torch.bfloat16 and words.is_contiguous()
    if words is None or not fits or words.shape[1] % WIDTH_STEP:
        return None
    return KernelEmbeddings(call, tables, words.detach())
