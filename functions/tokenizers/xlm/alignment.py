"""Lays words back on the text they were made from: where each of their characters stands.

The reference has no offsets for XLM, so the rules are ours: spans are in order and in the text, and a span's slice
reads as its piece. Works on what comes out of the word rules; must not know which of them did what.
"""

# ruff: noqa: RUF001 - characters that look alike are what these rules are about

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from functions.tokenizers.offsets import Span
from functions.tokenizers.xlm.moses import PUNCTUATION

FAR = 8  # characters by which text and words may differ at one place
SURE = 3  # characters that must agree after it
# what else Moses makes of one character, whatever stands beside it
ALIKE = PUNCTUATION | str.maketrans({
    "。": ".", "．": ".", "„": '"', "–": "-", "—": "-", "´": "'", "‘": "'", "‚": "'", "`": "'", "«": '"', "»": '"',
    "Ş": "S", "ş": "s", "Ţ": "T", "ţ": "t", "Ș": "S", "ș": "s", "Ț": "T", "ț": "t",
    "Ă": "A", "ă": "a", "Â": "A", "â": "a", "Î": "I", "î": "i",
})  # fmt: skip


def lay(words: Sequence[str], text: str, *, lowercase: bool) -> list[Span]:
    """Return the span in `text` of each character of the words, spaces left out; ordered by start and by end."""
    fold = _plain if lowercase else _folded
    folded = [fold(char) for char in text]
    theirs = "".join(folded)
    at = [i for i, chars in enumerate(folded) for _ in chars]
    ours = "".join([_one(char) for word in words for char in word if char != " "])
    if ours == theirs:
        return [(i, i + 1) for i in at]
    return _lay_apart(ours, theirs, at, len(text))


def reach(text: str, end: int) -> int:
    """Return the end of a span moved past the marks that stand on its last character."""
    while end < len(text) and unicodedata.category(text[end]) == "Mn":
        end += 1
    return end


def _lay_apart(ours: str, theirs: str, at: Sequence[int], length: int) -> list[Span]:
    """Lay characters side by side where they agree; where they do not, ours share the span of theirs."""
    spans: list[Span] = []
    i = j = 0
    while j < len(ours):
        if i < len(theirs) and ours[j] == theirs[i]:
            spans.append((at[i], at[i] + 1))
            i, j = i + 1, j + 1
        else:
            a, b = _gap(ours[j : j + FAR + SURE], theirs[i : i + FAR + SURE])
            spans += [_between(at, i, i + a, length)] * b
            i, j = i + a, j + b
    return spans


def _gap(ours: str, theirs: str) -> tuple[int, int]:
    """Return how many characters of theirs stand for how many of ours before both agree again."""
    for apart in range(1, 2 * FAR + 1):
        for a in range(max(0, apart - FAR), min(apart, FAR, len(theirs)) + 1):
            b = apart - a
            if b <= len(ours) and theirs[a : a + SURE] == ours[b : b + SURE]:
                return a, b
    return min(FAR, len(theirs)), min(FAR, len(ours))


def _between(at: Sequence[int], first: int, last: int, length: int) -> Span:
    """Return the span of characters of theirs; of none: what was dropped there, or a neighbour."""
    if last > first:
        return at[first], at[last - 1] + 1
    start = at[first - 1] + 1 if first else 0
    end = at[first] if first < len(at) else length
    if start < end:
        return start, end
    near = max(first - 1, 0)
    return (at[near], at[near] + 1) if at else (0, length)


@lru_cache(65_536)
def _folded(char: str) -> str:
    """Return what can be seen of one character, in the spelling of Moses."""
    return "" if char.isspace() or unicodedata.category(char)[0] == "C" else char.translate(ALIKE)


@lru_cache(65_536)
def _plain(char: str) -> str:
    """Return the same in lower case and without accents."""
    apart = unicodedata.normalize("NFD", _folded(char).lower())
    return "".join(_one(c) for c in apart if unicodedata.category(c) != "Mn").lower()


@lru_cache(65_536)
def _one(char: str) -> str:
    """Return a character of a word as the text's are spelled: still one."""
    alike = char.translate(ALIKE).replace("\u03c2", "\u03c3")  # a final sigma is a sigma
    return alike if len(alike) == 1 else char
