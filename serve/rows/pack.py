"""A pack: rows laid end to end, with every index a forward pass needs, computed once.

Rows lie by length, so that equal lengths are one contiguous run. Ids and spans are made by numpy: each operator of
torch lets go of the interpreter's lock and waits to have it again. Must not know weights or heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import torch

from serve.rows.row import Row

Between = Callable[[], None]  # what is done between two layers of a pass

ABSENT = -1  # the id of a token whose row has no ids of a kind that another row of the pack has


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring rows of one length: tokens `first` to `last` (half-open) are `n_rows` x `length`."""

    first: int
    last: int
    n_rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Spans:
    """Where rows lie in the packed stream.

    `starts[i]` is the first token of row i. On the device: `bounds` int32 [rows + 1], cumulative
    lengths; `row_of_token` int64 [tokens].
    """

    lengths: tuple[int, ...]
    starts: tuple[int, ...]
    runs: tuple[Run, ...]
    bounds: torch.Tensor
    row_of_token: torch.Tensor


@dataclass(frozen=True, slots=True)
class Pack:
    """Rows in packed order. `order[i]` is the caller's index of row i; `ids` int32 [tokens] is on the device.

    `lang_ids`, `token_type_ids`, `position_ids` are int64 [tokens] on the device, ABSENT at the tokens of
    rows that have none, and None where no row has any. The first `n_resumed` rows read on from a cache;
    `uncached_spans` is where the others lie, counted from the first of them, None where there are no others;
    `cache_writers` are those of them that keep what they read in a cache. `between` is what a pass does between two layers.
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
        """Do what is to be done before layer `number`: nothing before the first."""
        if self.between is not None and number:
            self.between()

    def by_head(self) -> Mapping[str, list[int]]:
        """Return the packed row indices of each head."""
        members: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            members.setdefault(row.head, []).append(index)
        return members

    def tokens_of(self, states: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
        """Return the states [tokens of the members, width]; the same tensor when every row is a member."""
        if len(members) == len(self.rows):
            return states
        wanted = [torch.arange(self.spans.starts[m], self.spans.starts[m] + self.spans.lengths[m]) for m in members]
        return states[torch.cat(wanted).to(states.device)]


def pack_rows(rows: Mapping[int, Row], device: torch.device, between: Between | None = None) -> Pack:
    """Pack rows, given by the caller's index: those that read on first, then shortest first.

    Equal lengths keep their order.
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
    """Return the spans of rows of these lengths, laid end to end in this order."""
    bounds = [0, *accumulate(lengths)]
    return Spans(
        lengths=tuple(lengths),
        starts=tuple(bounds[:-1]),
        runs=tuple(_runs(lengths)),
        bounds=torch.from_numpy(np.array(bounds, np.int32)).to(device),
        row_of_token=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)).to(device),
    )


def _uncached_spans(spans: Spans, n_resumed: int, device: torch.device) -> Spans | None:
    """Return the spans of the rows behind those that read on, counted from the first of them."""
    if not n_resumed:
        return spans
    return spans_of(spans.lengths[n_resumed:], device) if n_resumed < len(spans.lengths) else None


def _join_extra_ids(
    ids: Sequence[torch.Tensor | None], rows: Sequence[Row], device: torch.device
) -> torch.Tensor | None:
    """Lay ids that stand beside the tokens end to end, ABSENT where a row has none."""
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
