"""Computes where windows begin and end in a text, and builds windows.

A text is tokenized once, as a whole; windows only select tokens. Must not know tokenizers or tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import add
from typing import TypeVar

from functions.messages import TokenFacts, Window
from functions.tokenizers.offsets import Span
from functions.tokenizers.tokenizer import Encoded, Layout
from shared.errors import Unprocessable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Side:
    """One text of a window: the span that is kept, the language, and the places that the head reads (masks)."""

    text: Encoded
    span: Span
    lang_id: int | None = None
    places: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the span."""
        return self.text.ids[slice(*self.span)]

    @property
    def offsets(self) -> tuple[Span, ...]:
        """Offsets of the span."""
        return self.text.offsets[slice(*self.span)]

    @property
    def word_starts(self) -> tuple[bool, ...]:
        """Which tokens of the span begin a word."""
        return self.text.word_starts[slice(*self.span)]

    @property
    def positions(self) -> tuple[int, ...]:
        """The places, counted from the start of the span."""
        return tuple(place - self.span[0] for place in self.places)


def n_special(layout: Layout, *, pair: bool) -> int:
    """Return how many ids of a window are special, for one text or for a pair."""
    return len(layout.first) + len(layout.last) + (len(layout.middle) if pair else 0)


def even_spans(n_tokens: int, room: int, overlap: int = 0) -> list[Span]:
    """Return the fewest half-open spans of at most `room` tokens that cover `n_tokens`. Their sizes are even.

    Neighbours share `overlap` tokens. Raises ValueError unless 0 <= overlap < room.
    """
    if not 0 <= overlap < room:
        raise ValueError(f"got an overlap of {overlap} tokens, expected 0 <= overlap < {room}")
    if n_tokens <= room:
        return [(0, n_tokens)]
    n_spans = -(-(n_tokens - overlap) // (room - overlap))
    size = -(-(n_tokens + (n_spans - 1) * overlap) // n_spans)
    return [(start, min(start + size, n_tokens)) for start in range(0, n_tokens - overlap, size - overlap)]


def stride_spans(n_tokens: int, room: int, shared: int) -> list[Span]:
    """Return spans of `room` tokens. Each begins with the last `shared` tokens of the one before; the last is shorter.

    The reference makes the same ones (`return_overflowing_tokens` with a `stride`). Raises Unprocessable.
    """
    if shared >= room:
        raise Unprocessable(f"got a stride of {shared} tokens, expected less than the {room} of a window's text")
    starts = range(0, max(1, n_tokens - shared), room - shared)
    return [(start, min(start + room, n_tokens)) for start in starts]


def pair_spans(n_first: int, n_second: int, room: int) -> list[tuple[Span, Span]] | None:
    """Return spans of both texts of a pair: the shorter stays whole, the longer is split.

    Returns None when the shorter takes more than half of the room: too little would be left for the longer.
    """
    if n_first + n_second <= room:
        return [((0, n_first), (0, n_second))]
    if min(n_first, n_second) > room // 2:
        return None
    if n_first <= n_second:
        return [((0, n_first), span) for span in even_spans(n_second, room - n_first)]
    return [(span, (0, n_second)) for span in even_spans(n_first, room - n_second)]


def cut_pair(n_first: int, n_second: int, room: int) -> tuple[Span, Span]:
    """Return what is kept of a pair that is cut to `room`. The longer text is cut first, as in the reference."""
    if n_first + n_second <= room:
        return (0, n_first), (0, n_second)
    short = min(n_first, n_second, room // 2)
    long = room - short
    return ((0, short), (0, long)) if n_first <= n_second else ((0, long), (0, short))


def spans_around_masks(masks: Sequence[int], n_tokens: int, room: int) -> list[tuple[Span, tuple[int, ...]]]:
    """Return spans of at most `room` tokens, each with the masks it answers for. Every mask has exactly one span.

    Masks within half a window share a span, which is centred on them.
    """
    if n_tokens <= room:
        return [((0, n_tokens), tuple(masks))]
    placed = []
    for group in _groups(masks, max(1, room // 2)):
        centre = (group[0] + group[-1] + 1) // 2
        start = min(max(0, centre - room // 2), n_tokens - room)
        placed.append(((start, start + room), group))
    return placed


def _groups(masks: Sequence[int], reach: int) -> list[tuple[int, ...]]:
    groups: list[list[int]] = []
    for mask in masks:
        if groups and mask - groups[-1][0] < reach:
            groups[-1].append(mask)
        else:
            groups.append([mask])
    return [tuple(group) for group in groups]


def cover_all(kept: Sequence[Span], n_tokens: int) -> bool:
    """Whether the spans, in order, hold every token."""
    ends = [0, *(end for _, end in kept)]
    return ends[-1] == n_tokens and all(start <= end for end, (start, _) in zip(ends, kept, strict=False))


def window(input_index: int, part: int, texts: Sequence[Side], layout: Layout, *, reset: bool = False) -> Window:
    """Build the window of one span of a text, or of one span of each text of a pair.

    Offsets count in the token's own text. With `reset`, positions start again at 0 with the second text.
    """
    first = texts[0]
    ids, border, start = layout.first + first.ids, None, first.span[0]
    n_before = [len(layout.first)]
    if len(texts) > 1:
        border = len(ids) + len(layout.middle)
        n_before.append(border)
        ids += layout.middle + texts[1].ids
        start = max(start, texts[1].span[0])
    ids += layout.last
    return Window(
        input_index=input_index,
        input_ids=ids,
        read_facts=lambda: _facts(texts, layout),
        positions=tuple(n + place for n, side in zip(n_before, texts, strict=True) for place in side.positions),
        lang_ids=_by_side([side.lang_id for side in texts], border, len(ids)),
        start=start,
        part=part,
        position_ids=(*range(border), *range(len(ids) - border)) if reset and border is not None else None,
    )


def _facts(texts: Sequence[Side], layout: Layout) -> TokenFacts:
    """Return what is known of each token of a window."""
    specials = (layout.first, layout.middle, layout.last) if len(texts) > 1 else (layout.first, layout.last)
    is_pair = len(texts) > 1
    return TokenFacts(
        offsets=_interleaved([side.offsets for side in texts], specials, (0, 0)),
        special=_interleaved([(False,) * len(side.ids) for side in texts], specials, True),
        sequence_ids=_interleaved([(i,) * len(s.ids) for i, s in enumerate(texts)], specials, -1) if is_pair else (),
        word_starts=_interleaved([side.word_starts for side in texts], specials, False),
    )


def _interleaved(parts: Sequence[tuple[T, ...]], specials: Sequence[tuple[int, ...]], filler: T) -> tuple[T, ...]:
    """Return the parts of a window in order, with `filler` for each special token around them."""
    fillers = [(filler,) * len(special) for special in specials]
    return fillers[0] + tuple(chain.from_iterable(map(add, parts, fillers[1:])))


def _by_side(lang_ids: Sequence[int | None], border: int | None, n_tokens: int) -> tuple[int, ...] | None:
    """Return the language of each token. A special token has the language of the text before it."""
    langs = [lang for lang in lang_ids if lang is not None]
    if len(langs) < len(lang_ids):
        return None
    first = n_tokens if border is None else border
    return (langs[0],) * first + (langs[-1],) * (n_tokens - first)
