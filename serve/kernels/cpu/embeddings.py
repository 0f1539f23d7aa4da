"""The input embeddings of XLM-RoBERTa in bfloat16 on a CPU, by one call of our kernel in native/embeddings.c.

Each torch operator releases the interpreter's lock and then waits for it. Counting positions, reading three tables,
summing them and the LayerNorm take about twenty operators. Where the kernel cannot run, serve.models.xlm_roberta
computes the same in torch. This module must not know checkpoints or other layers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor, nn

from serve.kernels.core_team import team_address
from serve.kernels.cpu.guards import check_ids, check_spans, check_table, check_vector
from serve.kernels.cpu.library import VECTOR_WIDTH, kernels_here
from serve.layers.embeddings import Embed, EmbeddingTables, MakeEmbed, no_embed
from serve.rows.pack import ABSENT, NO_PAD, Pack


class KernelEmbeddings:
    """The kernel with the tables of a model, which it keeps alive."""

    def __init__(self, call: Callable[..., None], tables: EmbeddingTables, words: Tensor) -> None:
        """Keep the tables. Raises ValueError unless they have one width, and rows that `pad_id` can name."""
        width = words.shape[1]
        check_table("the word table", words, width, torch.bfloat16)
        check_table("the position table", tables.positions, width, torch.float32)
        check_table("the type table", tables.types, width, torch.float32)
        check_vector("the scale", tables.scale, width)
        check_vector("the shift", tables.shift, width)
        if not NO_PAD <= tables.pad_id < len(tables.positions) - 1:
            raise ValueError(f"got pad id {tables.pad_id}, expected {NO_PAD} <= id < {len(tables.positions) - 1}")
        self._call, self._words, self._pad_id, self._eps = call, words.contiguous(), tables.pad_id, tables.eps
        self._position_table, self._type_table = tables.positions.contiguous(), tables.types.contiguous()
        self._scale, self._shift = (own.detach().float().contiguous() for own in (tables.scale, tables.shift))
        self._team = team_address()

    def __call__(self, pack: Pack) -> Tensor:
        """Return the normalized sums [tokens, width] in bfloat16.

        Raises ValueError for ids outside the tables, and for spans that do not fit.
        """
        n_tokens = sum(pack.spans.lengths)
        check_ids("token id", pack.ids, n_tokens, len(self._words), least=0)
        for name, own, table in (
            ("position id", pack.position_ids, self._position_table),
            ("token type id", pack.token_type_ids, self._type_table),
        ):
            if own is not None:
                check_ids(name, own, n_tokens, len(table), least=ABSENT)
        check_spans(pack.spans, n_tokens)
        max_tokens = len(self._position_table) - self._pad_id - 1
        if (longest := max(pack.spans.lengths, default=0)) > max_tokens:
            raise ValueError(f"got a row of {longest} tokens, expected at most {max_tokens}")
        ids = pack.ids.to(torch.int32).contiguous()
        states = self._words.new_empty(n_tokens, self._words.shape[1])
        sums = torch.empty(states.shape)
        positions, types = (
            None if own is None else own.to(torch.int64).contiguous()
            for own in (pack.position_ids, pack.token_type_ids)
        )
        self._call(
            ids.data_ptr(), _address(positions), _address(types), pack.spans.cumulative_lengths.data_ptr(),
            self._words.data_ptr(), self._position_table.data_ptr(), self._type_table.data_ptr(),
            self._scale.data_ptr(), self._shift.data_ptr(), sums.data_ptr(), states.data_ptr(), self._team,
            len(pack.spans.lengths), self._words.shape[1], self._pad_id, torch.get_num_threads(), self._eps,
        )  # fmt: skip
        return states


def _address(ids: Tensor | None) -> int:
    return 0 if ids is None else ids.data_ptr()


def embed_for(device: torch.device, dtype: torch.dtype) -> MakeEmbed:
    """Return the maker of a model's embeddings: of the kernel if this machine can run it, else one that makes none."""
    return _embed_here if device.type == "cpu" and dtype == torch.bfloat16 else no_embed


def _embed_here(tables: EmbeddingTables) -> Embed | None:
    library = kernels_here() if readable_words(tables) is not None else None
    return None if library is None else kernel_embed(embed_call(library), tables)


def embed_call(library: ctypes.CDLL) -> Callable[..., None]:
    """Return the function of the compiled library that computes embeddings."""
    call: Callable[..., None] = library.glossa_embed
    library.glossa_embed.argtypes = [ctypes.c_void_p] * 12 + [ctypes.c_int64] * 4 + [ctypes.c_float]
    library.glossa_embed.restype = None
    return call


def kernel_embed(call: Callable[..., None], tables: EmbeddingTables) -> Embed | None:
    """Make embeddings of the kernel, or None when it cannot read the tables."""
    words = readable_words(tables)
    return None if words is None else KernelEmbeddings(call, tables, words)


def readable_words(tables: EmbeddingTables) -> Tensor | None:
    """Return the word table if the kernel can read it, else None.

    It must be an unquantized bfloat16 table whose width is a multiple of VECTOR_WIDTH.
    """
    words = tables.words.weight.detach() if isinstance(tables.words, nn.Embedding) else None
    if words is None or words.dtype != torch.bfloat16 or words.shape[1] % VECTOR_WIDTH:
        return None
    return words
