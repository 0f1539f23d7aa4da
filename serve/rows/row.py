"""One row: a window of text, what is asked of it, and how far its generation has come.

Must not know calls, weights or batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from serve.rows.kv_cache import Cache
from shared.errors import GlossaError
from shared.messages import Pooling, Sampling

RowOutput = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One window and what is asked of it.

    `input_ids` is int32 [n_tokens], special tokens included; `positions` are indices into this
    row (fill-mask); `lang_ids`, `token_type_ids`, `position_ids` int32 [n_tokens] (XLM). `top_k`,
    `target_ids` are read by fill-mask heads, `per_token`, `normalize`, `pooling`, `layers` and
    `attentions` by feature-extraction, `sampling` by text-generation: this row is the `sequence`-th continuation
    of its prompt, `state` how far it has come (None: not begun; then `input_ids` is the prompt).
    """

    input_ids: torch.Tensor
    head: str
    positions: tuple[int, ...] = ()
    lang_ids: torch.Tensor | None = None
    top_k: int = 5
    target_ids: tuple[int, ...] = ()
    per_token: bool = False
    normalize: bool = False
    token_type_ids: torch.Tensor | None = None
    position_ids: torch.Tensor | None = None
    pooling: Pooling = "mean"
    layers: tuple[int, ...] = ()
    attentions: bool = False
    sampling: Sampling | None = None
    sequence: int = 0
    state: Generation | None = None

    @property
    def n_tokens(self) -> int:
        """Number of tokens its next pass reads, special ones included."""
        return self.input_ids.shape[0]

    @property
    def most_tokens(self) -> int:
        """Number of tokens it may come to: those of its text, and all that may be generated."""
        return self.n_tokens if self.state is None else self.state.most_tokens

    @property
    def n_cached(self) -> int:
        """Number of tokens of its text that no pass reads again."""
        return 0 if self.state is None else self.state.n_cached

    @property
    def cache(self) -> Cache | None:
        """Keys and values of its text, where it keeps them."""
        return None if self.state is None else self.state.cache

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values it keeps between passes."""
        return 0 if self.state is None else self.state.cache_bytes


def row_of(ids: Iterable[int], head: str, *, positions: Sequence[int] = (), **asked: object) -> Row:
    """Make a row from plain integers; `asked` are the other fields of Row."""
    return Row(torch.tensor(list(ids), dtype=torch.int32), head, tuple(positions), **asked)  # type: ignore[arg-type] # fields are checked by whoever passes them


def call_row_index(row: Row, index: int) -> int:
    """Return which row of its call the `index`-th one is a sequence of."""
    return index if row.sampling is None else index // row.sampling.num_return_sequences


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """How far a row has come: the row as asked, the tokens since, and what need not be read again.

    `n_cached` tokens of the text are in `cache`; `random` is the state its next draw starts from.
    """

    prompt: Row
    new_ids: tuple[int, ...] = ()
    random: torch.Tensor | None = None
    cache: Cache | None = None
    n_cached: int = 0
    cache_bytes: int = 0

    @property
    def sampling(self) -> Sampling:
        """What the row asks for."""
        return self.prompt.sampling or Sampling()

    @property
    def most_tokens(self) -> int:
        """Tokens of the text when as many are generated as may be."""
        return self.prompt.n_tokens + self.sampling.max_new_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A row that is not done: give `row` again; its next pass reads `n_tokens`."""

    row: Row
    n_tokens: int


RowResult = RowOutput | GlossaError | Step
