"""Corrects two errors in the offsets of the `tokenizers` library, and takes white space off their ends.

The library shifts all offsets after control characters that the normalizer deletes at the start of a text or after an
added token. And it leaves out code points that compose with a letter. Must not know vocabularies.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

Span = tuple[int, int]
SPACES = frozenset(  # the Unicode property White_Space, as in Rust
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
SEPARATORS = frozenset("\x1c\x1d\x1e\x1f")  # white space for Python alone
DELETED = SEPARATORS | {"\v"}  # of white space, by the NMT rules
# what the NMT rules turn into a space besides, except U+200C, which joins the character before it
MADE_SPACES = "\u061c\u200b\u200e\u200f\u2581\ufeff\ufffd"
NEAR_CHARS = 32  # how far back to look for a composing letter; keeps the time linear in hostile text


class LeadingControls:
    """Removes control characters that the normalizer deletes, at the start of a text and after an added token.

    The text without them has the same ids. Its offsets can be restored to those of the text as received.
    """

    def __init__(self, normalize: Callable[[str], str], added_tokens: Iterable[str]) -> None:
        controls = (chr(c) for c in range(0xA0) if unicodedata.category(chr(c)) == "Cc")
        deleted = "".join(re.escape(c) for c in controls if normalize(f"a{c}a") == normalize("aa"))
        before = "|".join([r"\A", *map(re.escape, added_tokens)])
        self._any = re.compile(f"[{deleted}]") if deleted else None
        self._leading = re.compile(f"({before})[{deleted}]+") if deleted else None

    def drop(self, text: str) -> tuple[str, Sequence[int] | None]:
        """Return the text without them, and the index that each character had; None when nothing was removed."""
        if self._any is None or self._leading is None or not self._any.search(text):
            return text, None
        dropped = {i for match in self._leading.finditer(text) for i in range(match.end(1), match.end())}
        kept = [i for i in range(len(text)) if i not in dropped]
        return "".join(text[i] for i in kept), kept


def restore_offsets(offsets: Sequence[Span], places: Sequence[int]) -> list[Span]:
    """Return the spans in the text as received, for spans in a text from which characters were dropped.

    `places` has the index in the text as received of each character that was kept.
    """
    return [(places[start], places[end - 1] + 1) if end > start else (start, end) for start, end in offsets]


def white_space(normalize: Callable[[str], str]) -> frozenset[str]:
    """Return the characters that are white space, or that the normalizer deletes or turns into white space."""
    return SPACES | {char for char in (*SEPARATORS, *MADE_SPACES) if not normalize(char).strip()}


def trim(text: str, offsets: Sequence[Span], white: frozenset[str]) -> Sequence[Span]:
    """Return the spans without the white space at their ends.

    A token for the mark before a word stands for that space too, where a rule splits there without dropping the space.
    A span of white space alone becomes empty, at its end.
    """
    ends = ((start, end, text[start:end]) for start, end in offsets)
    return [
        _trimmed(text, start, end, white) if part and (part[0] in white or part[-1] in white) else (start, end)
        for start, end, part in ends
    ]


def _trimmed(text: str, start: int, end: int, white: frozenset[str]) -> Span:
    if start and text[start] in DELETED and text[start - 1] not in white:
        start -= 1  # the library gives the last part of a character the place of what was deleted after it
    while start < end and text[start] in white:
        start += 1
    while start < end and text[end - 1] in white:
        end -= 1
    return start, end


def include_composing_marks(text: str, offsets: Sequence[Span]) -> Sequence[Span]:
    """Extend each span over the code points that compose with its last one.

    The normalizer composes `e` and U+0301, for example. The library then reports the span of `e` only.
    """
    if not offsets or unicodedata.is_normalized("NFKC", text):  # nothing composes
        return offsets
    stops = [start for start, _ in offsets[1:]] + [len(text)]
    return [(start, _composed_end(text, start, end, stop)) for (start, end), stop in zip(offsets, stops, strict=True)]


def _composed_end(text: str, start: int, end: int, stop: int) -> int:
    while start < end < stop and _composes(text[max(start, end - NEAR_CHARS) : end], text[end]):
        end += 1
    return end


def _composes(before: str, mark: str) -> bool:
    apart = unicodedata.normalize("NFKC", before) + unicodedata.normalize("NFKC", mark)
    return unicodedata.normalize("NFKC", before + mark) != apart
