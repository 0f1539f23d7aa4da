"""Aligns words with the text that they were made from: finds the span of each of their characters.

The reference has no offsets for XLM, so these rules are our own. Spans are in order and inside the text, and the text
of a span reads as its piece. This module compares words and text only, and must not know which rule changed what.
"""

# ruff: noqa: RUF001 - these rules are about characters that look alike

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from functions.tokenizers.offsets import Span
from functions.tokenizers.xlm.moses import PUNCTUATION

MAX_DIFFERENCE_CHARS = 8  # text and words may differ by this many characters at one place
AGREEING_CHARS = 3  # so many characters must agree after a difference
# how Moses replaces single characters, whatever is beside them
EQUIVALENTS = PUNCTUATION | str.maketrans({
    "。": ".", "．": ".", "„": '"', "–": "-", "—": "-", "´": "'", "‘": "'", "‚": "'", "`": "'", "«": '"', "»": '"',
    "Ş": "S", "ş": "s", "Ţ": "T", "ţ": "t", "Ș": "S", "ș": "s", "Ț": "T", "ț": "t",
    "Ă": "A", "ă": "a", "Â": "A", "â": "a", "Î": "I", "î": "i",
})  # fmt: skip


def align(words: Sequence[str], text: str, *, lowercase: bool) -> list[Span]:
    """Return the span in `text` of each character of the words, without their spaces. Starts and ends never go back."""
    fold = _plain if lowercase else _visible
    folded = [fold(char) for char in text]
    text_chars = "".join(folded)
    at = [i for i, chars in enumerate(folded) for _ in chars]
    word_chars = "".join([_word_char(char) for word in words for char in word if char != " "])
    if word_chars == text_chars:
        return [(i, i + 1) for i in at]
    return _align_different(word_chars, text_chars, at, len(text))


def include_marks(text: str, end: int) -> int:
    """Return the end of a span, moved past the combining marks after its last character."""
    while end < len(text) and unicodedata.category(text[end]) == "Mn":
        end += 1
    return end


def _align_different(word_chars: str, text_chars: str, at: Sequence[int], length: int) -> list[Span]:
    """Align equal characters one by one. Where they differ, several characters of the words share a span.

    `at` has the index in the text of each of `text_chars`; `length` is the length of the text.
    """
    spans: list[Span] = []
    i = j = 0
    while j < len(word_chars):
        if i < len(text_chars) and word_chars[j] == text_chars[i]:
            spans.append((at[i], at[i] + 1))
            i, j = i + 1, j + 1
        else:
            a, b = _difference(
                word_chars[j : j + MAX_DIFFERENCE_CHARS + AGREEING_CHARS],
                text_chars[i : i + MAX_DIFFERENCE_CHARS + AGREEING_CHARS],
            )
            spans += [_between(at, i, i + a, length)] * b
            i, j = i + a, j + b
    return spans


def _difference(word_chars: str, text_chars: str) -> tuple[int, int]:
    """Return how many characters of the text and how many of the words to skip until both agree again."""
    for apart in range(1, 2 * MAX_DIFFERENCE_CHARS + 1):
        for a in range(max(0, apart - MAX_DIFFERENCE_CHARS), min(apart, MAX_DIFFERENCE_CHARS, len(text_chars)) + 1):
            b = apart - a
            if b <= len(word_chars) and text_chars[a : a + AGREEING_CHARS] == word_chars[b : b + AGREEING_CHARS]:
                return a, b
    return min(MAX_DIFFERENCE_CHARS, len(text_chars)), min(MAX_DIFFERENCE_CHARS, len(word_chars))


def _between(at: Sequence[int], first: int, last: int, length: int) -> Span:
    """Return the span of the text's characters from `first` to `last`.

    When there are none, it is the span of the characters that were dropped there, or of a neighbour.
    """
    if last > first:
        return at[first], at[last - 1] + 1
    start = at[first - 1] + 1 if first else 0
    end = at[first] if first < len(at) else length
    if start < end:
        return start, end
    near = max(first - 1, 0)
    return (at[near], at[near] + 1) if at else (0, length)


@lru_cache(65_536)
def _visible(char: str) -> str:
    """Return a character of the text as Moses writes it, or "" when it is a space or a control character."""
    return "" if char.isspace() or unicodedata.category(char)[0] == "C" else char.translate(EQUIVALENTS)


@lru_cache(65_536)
def _plain(char: str) -> str:
    """Return the same, in lower case and without accents."""
    apart = unicodedata.normalize("NFD", _visible(char).lower())
    return "".join(_word_char(c) for c in apart if unicodedata.category(c) != "Mn").lower()


@lru_cache(65_536)
def _word_char(char: str) -> str:
    """Return a character of a word as Moses writes it. The result is always one character."""
    equivalent = char.translate(EQUIVALENTS).replace("\u03c2", "\u03c3")  # a final sigma equals a sigma
    return equivalent if len(equivalent) == 1 else char
