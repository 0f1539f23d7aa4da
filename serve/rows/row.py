"""One row: a window of text, the output it asks for, and the state of its generation; calls to rows, and back.

`split` makes the rows of a call, and `join` packs the outputs of its rows. It must not know weights or batches.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from serve.rows.kv_cache import Cache
from shared.errors import GlossaError, Unprocessable
from shared.limits import DEFAULT_TOP_K
from shared.messages import DEFAULT_POOLING, InferCall, Pooling, Sampling, Tensor

RowOutput = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One window of text and what is asked of it.

    `input_ids` is int32 [n_tokens] with special tokens. `lang_ids`, `token_type_ids` and `position_ids` are int32
    [n_tokens]. fill-mask heads read `positions` (indices into this row), `top_k` and `target_ids`. feature-extraction
    heads read `per_token`, `normalize`, `pooling`, `layers` and `attentions`. text-generation heads read `sampling`;
    the row is then the `sequence`-th continuation of its prompt. `state` is None until the generation starts, and
    `input_ids` is then the prompt.
    """

    input_ids: torch.Tensor
    head: str
    positions: tuple[int, ...] = ()
    lang_ids: torch.Tensor | None = None
    top_k: int = DEFAULT_TOP_K
    target_ids: tuple[int, ...] = ()
    per_token: bool = False
    normalize: bool = False
    token_type_ids: torch.Tensor | None = None
    position_ids: torch.Tensor | None = None
    pooling: Pooling = DEFAULT_POOLING
    layers: tuple[int, ...] = ()
    attentions: bool = False
    sampling: Sampling | None = None
    sequence: int = 0
    state: Generation | None = None

    @property
    def n_tokens(self) -> int:
        """Number of tokens that its next pass reads, special tokens included."""
        return self.input_ids.shape[0]

    @property
    def most_tokens(self) -> int:
        """Largest number of tokens that its text may reach: the prompt and all tokens that may be generated."""
        return self.n_tokens if self.state is None else self.state.most_tokens

    @property
    def n_cached(self) -> int:
        """Number of tokens of its text that are in the cache and are not read again."""
        return 0 if self.state is None else self.state.n_cached

    @property
    def cache(self) -> Cache | None:
        """Keys and values of its text, if it keeps them."""
        return None if self.state is None else self.state.cache

    @property
    def cache_bytes(self) -> int:
        """Bytes of the keys and values that it keeps between passes."""
        return 0 if self.state is None else self.state.cache_bytes


def row_of(ids: Iterable[int], head: str, *, positions: Sequence[int] = (), **asked: object) -> Row:
    """Make a row from plain integers. `asked` are the other fields of Row."""
    return Row(torch.tensor(list(ids), dtype=torch.int32), head, tuple(positions), **asked)  # type: ignore[arg-type] # fields are checked by whoever passes them


def call_row_index(row: Row, index: int) -> int:
    """Return the number of the call's row that the `index`-th row is a sequence of."""
    return index if row.sampling is None else index // row.sampling.num_return_sequences


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """The state of a generating row: its prompt, the new tokens, and what is cached.

    `n_cached` tokens of the text are in `cache`. `random` is the state of the random generator for the next draw.
    """

    prompt: Row
    new_ids: tuple[int, ...] = ()
    random: torch.Tensor | None = None
    cache: Cache | None = None
    n_cached: int = 0
    cache_bytes: int = 0

    @property
    def sampling(self) -> Sampling:
        """The sampling parameters of the prompt."""
        return self.prompt.sampling or Sampling()

    @property
    def most_tokens(self) -> int:
        """Number of tokens of the text when `max_new_tokens` have been generated."""
        return self.prompt.n_tokens + self.sampling.max_new_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A row that needs another pass: give `row` to it. That pass reads `n_tokens` tokens."""

    row: Row
    n_tokens: int


RowResult = RowOutput | GlossaError | Step


def split(call: InferCall) -> list[Row]:
    """Split a packed call into rows, in order. A row appears once for each sequence that is asked of it.

    The ids are views into one buffer. Raises Unprocessable when the parts of the call do not add up. Errors inside one
    row are left to `serve.rows.row_validation`, so that such a row fails alone.
    """
    lengths = _lengths(call.row_lengths, call.n_tokens, "row_lengths", "tokens")
    ids = _row_views(call.input_ids, lengths)
    langs = _extra_ids(call.lang_ids, lengths)
    types, position_ids = _extra_ids(call.token_type_ids, lengths), _extra_ids(call.position_ids, lengths)
    return [
        Row(
            input_ids=row_ids,
            head=call.head,
            positions=positions,
            lang_ids=lang_ids,
            top_k=call.top_k,
            target_ids=call.target_ids,
            per_token=call.per_token,
            normalize=call.normalize,
            token_type_ids=type_ids,
            position_ids=own_position_ids,
            pooling=call.pooling,
            layers=call.layers,
            attentions=call.attentions,
            sampling=call.sampling,
            sequence=sequence,
        )
        for row_ids, positions, lang_ids, type_ids, own_position_ids in zip(
            ids, _positions(call, lengths), langs, types, position_ids, strict=True
        )
        for sequence in range(1 if call.sampling is None else call.sampling.num_return_sequences)
    ]


def join(results: Sequence[RowOutput | GlossaError], rows: Sequence[Row] = ()) -> dict[str, Tensor]:
    """Join the results of a call's rows, in order, into the named tensors of the answer.

    The first dimension of every tensor counts parts of its row, as `Engine.forward` says. So rows are joined by
    concatenation. `rows` are the rows of the call; they are needed when several rows may be sequences of one prompt. A
    call is answered as a whole: if a row failed, its error is raised with the number of the row.
    """
    outputs: list[RowOutput] = []
    for index, result in enumerate(results):
        if isinstance(result, GlossaError):
            number = call_row_index(rows[index], index) if rows else index
            raise type(result)(
                f"row {number}: {result.message}", hint=result.hint, retry_after_s=result.retry_after_s
            ) from result
        outputs.append(result)
    of_name = {name: [output[name] for output in outputs] for name in outputs[0]}
    return {name: _message_tensor(torch.cat(parts) if len(parts) > 1 else parts[0]) for name, parts in of_name.items()}


def _lengths(parts: Tensor, whole: int, name: str, unit: str) -> list[int]:
    lengths = list(parts.int_values())
    if not lengths:
        raise Unprocessable(f"got {name} of 0 rows, expected at least 1")
    if min(lengths) < 0 or sum(lengths) != whole:
        raise Unprocessable(f"got {name} that sum to {sum(lengths)}, expected {whole} {unit}, none negative")
    return lengths


def _positions(call: InferCall, lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the positions of each row, counted from the start of the row."""
    if call.positions is None or call.positions_per_row is None:
        return [()] * len(lengths)
    flat = call.positions.int_values()
    counts = _lengths(call.positions_per_row, len(flat), "positions_per_row", "positions")
    if len(counts) != len(lengths):
        raise Unprocessable(f"got positions_per_row for {len(counts)} rows, expected {len(lengths)}")
    starts = accumulate(lengths, initial=0)
    firsts = accumulate(counts, initial=0)
    return [
        tuple(p - start for p in flat[first : first + count])
        for start, first, count in zip(starts, firsts, counts, strict=False)
    ]


def _extra_ids(tensor: Tensor | None, lengths: Sequence[int]) -> Sequence[torch.Tensor | None]:
    """Split ids that accompany the tokens into rows. Return None for each row when there are none."""
    if tensor is None:
        return [None] * len(lengths)
    if (n_ids := math.prod(tensor.shape)) != sum(lengths):
        raise Unprocessable(f"got {n_ids} ids beside {sum(lengths)} tokens, expected one for each")
    return _row_views(tensor, lengths)


def _row_views(tensor: Tensor, lengths: Sequence[int]) -> list[torch.Tensor]:
    """Return the ids of each row as int32 views into one buffer. No torch operator runs (see `_message_tensor`)."""
    if sys.byteorder != "little":
        raise RuntimeError(f"got a {sys.byteorder}-endian machine, an engine expects a little-endian one")
    ids = np.frombuffer(bytearray(tensor.data), np.int32)  # torch refuses read-only buffers
    return [
        torch.from_numpy(ids[start : start + length])
        for start, length in zip(accumulate(lengths, initial=0), lengths, strict=False)
    ]


def _message_tensor(tensor: torch.Tensor) -> Tensor:
    """Return a torch tensor as a message tensor, FP32 or INT32.

    The conversion uses numpy. Each torch operator releases the interpreter's lock and then waits for it, and on the
    event loop it would wait behind the threads that run forward passes.
    """
    datatype, dtype = ("FP32", torch.float32) if tensor.is_floating_point() else ("INT32", torch.int32)
    values = (tensor if tensor.dtype == dtype else tensor.to(dtype)).numpy()
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return Tensor(datatype, tuple(values.shape), memoryview(flat).toreadonly())  # type: ignore[arg-type] # Literal of two strings
