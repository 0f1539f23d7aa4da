"""Where to cut: the arithmetic of windows over token positions, and windows built from it.

A text is tokenized once, whole; cutting moves no token border. Must not know tokenizers or tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

from functions.pipeline.tokenize.offsets import Span
from functions.pipeline.tokenize.tokenizer import Encoded, Layout
from shared.messages import Window


def spans(n_tokens: int, room: int, overlap: int = 0) -> list[Span]:
    """Return the fewest half-open spans of at most `room` tokens that cover `n_tokens`, of even size.

    Neighbours share `overlap` tokens. Raises ValueError unless 0 <= overlap < room.
    """
    if not 0 <= overlap < room:
        raise ValueError(f"got an overlap of {overlap} tokens, expected 0 <= overlap < {room}")
    if n_tokens <= room:
        return [(0, n_tokens)]
    n_spans = -(-(n_tokens - overlap) // (room - overlap))
    size = -(-(n_tokens + (n_spans - 1) * overlap) // n_spans)
    return [(start, min(start + size, n_tokens)) for start in range(0, n_tokens - overlap, size - overlap)]


def pair_spans(n_first: int, n_second: int, room: int) -> list[tuple[Span, Span]] | None:
    """Return spans of both texts of a pair: the shorter stays whole, the longer is cut into windows.

    None when the shorter takes more than half of the room, so that no cut does both texts justice.
    """
    if n_first + n_second <= room:
        return [((0, n_first), (0, n_second))]
    if min(n_first, n_second) > room // 2:
        return None
    if n_first <= n_second:
        return [((0, n_first), span) for span in spans(n_second, room - n_first)]
    return [(span, (0, n_second)) for span in spans(n_first, room - n_second)]


def longest_first(n_first: int, n_second: int, room: int) -> tuple[Span, Span]:
    """Return what is kept of a pair that is cut to `room`: the longer text loses first, as in the reference."""
    if n_first + n_second <= room:
        return (0, n_first), (0, n_second)
    short = min(n_first, n_second, room // 2)
    long = room - short
    return ((0, short), (0, long)) if n_first <= n_second else ((0, long), (0, short))


def around(marks: Sequence[int], n_tokens: int, room: int) -> list[tuple[Span, tuple[int, ...]]]:
    """Return spans of at most `room` tokens with the marks each answers for; every mark is in exactly one.

    Marks that lie within half a window share one, centred on them.
    """
    if n_tokens <= room:
        return [((0, n_tokens), tuple(marks))]
    placed = []
    for group in _groups(marks, max(1, room // 2)):
        centre = (group[0] + group[-1] + 1) // 2
        start = min(max(0, centre - room // 2), n_tokens - room)
        placed.append(((start, start + room), group))
    return placed


def _groups(marks: Sequence[int], reach: int) -> list[tuple[int, ...]]:
    groups: list[list[int]] = []
    for mark in marks:
        if groups and mark - groups[-1][0] < reach:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return [tuple(group) for group in groups]


def covers(kept: Sequence[Span], n_tokens: int) -> bool:
    """Whether the spans, in order, leave out no token."""
    ends = [0, *(end for _, end in kept)]
    return ends[-1] == n_tokens and all(start <= end for end, (start, _) in zip(ends, kept, strict=False))


def single_window(row: int, text: Encoded, span: Span, layout: Layout, marks: Sequence[int] = ()) -> Window:
    """Build the window of one span of one text; `marks` are places in the text that the head reads."""
    start, end = span
    first, last = len(layout.first), len(layout.last)
    return Window(
        row=row,
        input_ids=layout.first + text.ids[start:end] + layout.last,
        offsets=((0, 0),) * first + text.offsets[start:end] + ((0, 0),) * last,
        special=(True,) * first + (False,) * (end - start) + (True,) * last,
        positions=tuple(first + mark - start for mark in marks),
        start=start,
    )


def pair_window(row: int, texts: tuple[Encoded, Encoded], kept: tuple[Span, Span], layout: Layout) -> Window:
    """Build the window of one span of each text of a pair; offsets count in the text the token is of."""
    (a, b), ((a0, a1), (b0, b1)) = texts, kept
    none = (0, 0)
    first, middle, last = len(layout.first), len(layout.middle), len(layout.last)
    return Window(
        row=row,
        input_ids=layout.first + a.ids[a0:a1] + layout.middle + b.ids[b0:b1] + layout.last,
        offsets=(none,) * first + a.offsets[a0:a1] + (none,) * middle + b.offsets[b0:b1] + (none,) * last,
        special=(True,) * first + (False,) * (a1 - a0) + (True,) * middle + (False,) * (b1 - b0) + (True,) * last,
    )
