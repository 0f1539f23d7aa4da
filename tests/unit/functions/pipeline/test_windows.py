"""Windows cover all tokens of a text, with as few windows as possible."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.pipeline.windows import cover_all, cut_pair, even_spans, pair_spans, spans_around_masks


@given(n=st.integers(0, 3000), room=st.integers(1, 600), share=st.floats(0, 0.5))
def test_spans_cover_all_tokens_with_the_fewest_windows(n: int, room: int, share: float) -> None:
    """Every token is in a span of at most `room`. Neighbours share the overlap. One span fewer would be too few."""
    overlap = min(int(room * share), room - 1)
    found = even_spans(n, room, overlap)
    assert cover_all(found, n)
    assert all(0 <= end - start <= room for start, end in found)
    assert all(one[1] - two[0] == overlap for one, two in pairwise(found))
    assert len(found) == 1 or (len(found) - 1) * (room - overlap) + overlap < n
    sizes = {end - start for start, end in found}
    assert max(sizes) - min(sizes) <= len(found)


@given(n=st.integers(1, 2000), room=st.integers(2, 300), data=st.data())
def test_each_mask_is_answered_once_by_a_window_that_holds_it(n: int, room: int, data: st.DataObject) -> None:
    """Each mask belongs to one window that holds it. Windows stay in the text and in the room."""
    marks = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=20)))
    placed = spans_around_masks(marks, n, room)
    assert [mark for _, group in placed for mark in group] == marks
    for (start, end), group in placed:
        assert 0 <= start < end <= n
        assert end - start == min(n, room)
        assert all(start <= mark < end for mark in group)


def test_a_single_mask_is_in_the_middle() -> None:
    """The window of a mask far from both ends has as much text before it as after it."""
    [((start, end), _)] = spans_around_masks([500], 1000, 101)
    assert (start, end) == (450, 551)


@given(first=st.integers(0, 900), second=st.integers(0, 900), room=st.integers(1, 512))
def test_a_pair_keeps_the_shorter_text_whole(first: int, second: int, room: int) -> None:
    """Windows of a pair fit, cover both texts, and split only the longer one. Otherwise there are none."""
    found = pair_spans(first, second, room)
    if found is None:
        assert min(first, second) > room // 2
        return
    assert all((a1 - a0) + (b1 - b0) <= room for (a0, a1), (b0, b1) in found)
    assert cover_all([a for a, _ in found], first) or first <= second
    assert cover_all([b for _, b in found], second) or second < first


@given(first=st.integers(0, 900), second=st.integers(0, 900), room=st.integers(1, 512))
def test_truncating_a_pair_fills_the_room(first: int, second: int, room: int) -> None:
    """What is kept of a pair fills the room exactly, or is the whole pair."""
    (a0, a1), (b0, b1) = cut_pair(first, second, room)
    assert a0 == b0 == 0
    assert a1 + b1 == min(room, first + second)
    assert a1 <= first
    assert b1 <= second


def test_an_overlap_as_large_as_the_room_is_refused() -> None:
    """Windows that would never advance are an error, not an endless loop."""
    with pytest.raises(ValueError, match="0 <= overlap < 8"):
        even_spans(100, 8, 8)
