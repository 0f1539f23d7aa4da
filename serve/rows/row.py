"""One row: a window of text, the output it asks for, and the state of its generation.

It must not know calls, weights or batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from serve.rows.kv_cache import Cache
from shared.errors import GlossaError
from shared.limits import DEFAULT_TOP_K
from shared.messages import DEFAULT_POOLING, Pooling, Sampling

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
