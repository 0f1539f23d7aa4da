"""Packs rows into one stream of tokens without padding, with every index that a forward pass needs.

Rows are sorted by length, so that rows of equal length are contiguous. Ids and spans are made with numpy, because each
torch operator releases the interpreter's lock and then waits for it. This module must not know weights or heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import torch

from serve.rows.row import Row

Between = Callable[[], None]  # called between two layers of a pass

ABSENT = -1  # the id of a token whose row has no ids of a kind, while another row of the pack has some
SEGMENTS = {"mean": "mean", "max": "max"}  # names of poolings in torch.segment_reduce
NO_PAD = -1  # in place of the pad id of models whose positions count every token, from 0


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows of one length: tokens `first` to `last` (half-open) are `n_rows` x `length`."""

    first: int
    last: int
    n_rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Spans:
    """The place of each row in the packed stream.

    `starts[i]` is the first token of row i. Two tensors are on the device: `cumulative_lengths` int32 [rows +
    1] are the lengths added up, from 0 on, and `row_of_token` is int64 [tokens].
    """

    lengths: tuple[int, ...]
    starts: tuple[int, ...]
    runs: tuple[Run, ...]
    cumulative_lengths: torch.Tensor
    row_of_token: torch.Tensor


@dataclass(frozen=True, slots=True)
class Pack:
    """Rows in packed order.

    `order[i]` is the caller's index of row i. `ids` int32 [tokens] is on the device. `lang_ids`, `token_type_ids` and
    `position_ids` are int64 [tokens] on the device. They hold ABSENT at the tokens of rows that have none, and are None
    when no row has any.

    The first `n_resumed` rows continue from a cache. `uncached_spans` are the spans of the other rows, counted from the
    first of them; it is None when there are no others. `cache_writers` are the other rows that write a cache. `between`
    is called between two layers.
    """

    rows: tuple[Row, ...]
    order: tuple[int, ...]
    ids: torch.Tensor
    spans: Spans
    lang_ids: torch.Tensor | None = None
    token_type_ids: torch.Tensor | None = None
    position_ids: torch.Tensor | None = None
    n_resumed: int = 0
    uncached_spans: Spans | None = None
    cache_writers: tuple[int, ...] = ()
    between: Between | None = None

    def run_between(self, number: int) -> None:
        """Call `between` before layer `number`, but not before the first layer."""
        if self.between is not None and number:
            self.between()

    def by_head(self) -> Mapping[str, list[int]]:
        """Return the indices of the packed rows for each head."""
        members: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            members.setdefault(row.head, []).append(index)
        return members

    def tokens_of(self, states: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
        """Return the states [tokens of the members, width] of the rows `members`.

        The result is the same tensor when every row is a member.
        """
        if len(members) == len(self.rows):
            return states
        wanted = [torch.arange(self.spans.starts[m], self.spans.starts[m] + self.spans.lengths[m]) for m in members]
        return states[torch.cat(wanted).to(states.device)]

    def pooled(self, kind: str, states: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
        """Return the float32 [members, width] that a pooling makes of the tokens of each row, where the states are.

        `mean` and `max` pool over all tokens, special ones included. `cls` is the state of the first token (`<s>`).
        """
        tokens = self.tokens_of(states, members).float()
        lengths = torch.tensor([self.spans.lengths[member] for member in members]).to(states.device)
        if kind == "cls":
            return tokens[lengths.cumsum(0) - lengths]
        return torch.segment_reduce(tokens, SEGMENTS[kind], lengths=lengths, axis=0)


def pack_rows(rows: Mapping[int, Row], device: torch.device, between: Between | None = None) -> Pack:
    """Pack rows, which are given by the caller's index.

    Rows that continue from a cache come first, then shorter rows before longer ones. Equal lengths keep their order.
    """
    order = sorted(rows, key=lambda index: (not rows[index].n_cached, rows[index].n_tokens))
    packed = tuple(rows[index] for index in order)
    lengths = [row.n_tokens for row in packed]
    n_resumed = sum(row.n_cached > 0 for row in packed)
    spans = spans_of(lengths, device)
    ids = torch.from_numpy(np.concatenate([row.input_ids.numpy() for row in packed])).to(device)
    return Pack(
        rows=packed,
        order=tuple(order),
        ids=ids,
        spans=spans,
        lang_ids=_join_extra_ids([row.lang_ids for row in packed], packed, device),
        token_type_ids=_join_extra_ids([row.token_type_ids for row in packed], packed, device),
        position_ids=_join_extra_ids([row.position_ids for row in packed], packed, device),
        n_resumed=n_resumed,
        uncached_spans=_uncached_spans(spans, n_resumed, device),
        cache_writers=tuple(i for i, row in enumerate(packed) if row.cache is not None and not row.n_cached),
        between=between,
    )


def spans_of(lengths: Sequence[int], device: torch.device) -> Spans:
    """Return the spans of rows of these lengths, one after the other."""
    summed = [0, *accumulate(lengths)]
    return Spans(
        lengths=tuple(lengths),
        starts=tuple(summed[:-1]),
        runs=tuple(_runs(lengths)),
        cumulative_lengths=torch.from_numpy(np.array(summed, np.int32)).to(device),
        row_of_token=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)).to(device),
    )


def _uncached_spans(spans: Spans, n_resumed: int, device: torch.device) -> Spans | None:
    """Return the spans of the rows that do not continue from a cache, counted from the first of them."""
    if not n_resumed:
        return spans
    return spans_of(spans.lengths[n_resumed:], device) if n_resumed < len(spans.lengths) else None


def _join_extra_ids(
    ids: Sequence[torch.Tensor | None], rows: Sequence[Row], device: torch.device
) -> torch.Tensor | None:
    """Concatenate ids that accompany the tokens. Rows without them get ABSENT."""
    if all(own is None for own in ids):
        return None
    filled = [torch.full((row.n_tokens,), ABSENT) if own is None else own for own, row in zip(ids, rows, strict=True)]
    return torch.cat([own.long() for own in filled]).to(device)


def _runs(lengths: Sequence[int]) -> Iterator[Run]:
    first = 0
    for length, same in groupby(lengths):
        n_rows = len(list(same))
        yield Run(first, first + n_rows * length, n_rows, length)
        first += n_rows * length


def reference_positions(ids: torch.Tensor, spans: Spans, pad_id: int) -> torch.Tensor:
    """Return position ids int64 [tokens], as create_position_ids_from_input_ids of `transformers` counts them.

    Positions count from pad_id + 1. A pad id inside a text gets position pad_id and is not counted. With NO_PAD they
    count from 0, as in BERT, and every token is counted.
    """
    counted = ids.ne(pad_id).long()
    seen = counted.cumsum(0)
    before = seen - counted
    return (seen - before[spans.cumulative_lengths[:-1].long()][spans.row_of_token]) * counted + pad_id
