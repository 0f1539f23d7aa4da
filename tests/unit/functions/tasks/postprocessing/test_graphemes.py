"""A grapheme cluster of Unicode is never divided."""

from __future__ import annotations

import regex
from hypothesis import given
from hypothesis import strategies as st

from functions.tasks.postprocessing.graphemes import NEAR_CHARS, Clusters, inside

KOREAN_AND_INDIC = "aé \r\n\u0301\u0e33\u0e31\u200d\u200c\u094d\u0915\u0937\u093f\u1100\u1161\u11a8가각"
EMOJI_AND_MORE = "🇩🇪👩🏽❤\ufe0f\u0600\u17d2ក\u1039က"
HOSTILE = st.sampled_from(sorted({*KOREAN_AND_INDIC, *EMOJI_AND_MORE}))
texts = st.text(HOSTILE | st.characters(exclude_categories=["Cs", "Cn"]), max_size=12)


def boundaries(text: str) -> set[int]:
    """Return where `regex`, which implements Unicode's annex 29, lets a text be divided."""
    return {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}


@given(text=texts)
def test_what_the_annex_keeps_together_stays_together(text: str) -> None:
    """Every place that is no boundary by the annex is inside a grapheme here."""
    assert {at for at in range(len(text)) if not inside(text, at)} <= boundaries(text)


def test_ordinary_text_has_exactly_the_boundaries_of_the_annex() -> None:
    """For letters, marks, emoji, flags and Korean, the boundaries are exactly those of the annex."""
    for text in ("Hello", "e\u0301a", "สวัสดี น้ำ", "नमस्ते", "👩🏽‍🚀 ok", "한국어", "a\r\nb", "മലയാളം", "🇩🇪 🇫🇷"):
        assert {at for at in range(len(text)) if not inside(text, at)} | {len(text)} == boundaries(text)


@given(text=texts, data=st.data())
def test_a_span_is_widened_to_whole_graphemes(text: str, data: st.DataObject) -> None:
    """A widened span covers the span, and its ends divide no grapheme."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = Clusters(text).whole(start, end)
    assert first <= start <= end <= last <= len(text)
    assert not inside(text, first)
    assert not inside(text, last)


def test_a_grapheme_with_a_million_marks_is_left_as_it_is() -> None:
    """The search for an end has a limit. Beyond it a span is not widened."""
    text = "a" + "\u0301" * 1_000_000
    assert Clusters(text).whole(500_000, 500_001) == (500_000, 500_001)


def stepwise(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span by testing one place after another."""
    first = next((at for at in range(start, max(-1, start - NEAR_CHARS), -1) if not inside(text, at)), start)
    last = next((at for at in range(end, end + NEAR_CHARS) if not inside(text, at)), end)
    return first, last


@given(
    parts=st.lists(st.tuples(HOSTILE, st.sampled_from([1, 2, 62, 63, 64, 65, 130])), min_size=1, max_size=5),
    data=st.data(),
)
def test_spans_are_those_of_testing_place_by_place(parts: list[tuple[str, int]], data: st.DataObject) -> None:
    """Reading a text once gives the same spans as testing place by place, near the limit and beyond it."""
    text = "".join(char * n for char, n in parts)
    clusters = Clusters(text)
    for _ in range(8):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        assert clusters.whole(start, end) == stepwise(text, start, end)
