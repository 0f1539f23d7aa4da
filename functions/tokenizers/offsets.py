"""Repairs two things that the `tokenizers` library reports wrongly about where a token stands.

It shifts every offset of a stretch whose first characters the normalizer deletes, and it leaves
out code points that compose with a letter. Must not know vocabularies.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

Span = tuple[int, int]
NEAR_CHARS = 32  # how far back a composing letter is looked for; keeps hostile text linear


class LeadingControls:
    """Control characters that the normalizer deletes, where they open a text or follow an added token.

    Without them the text has the same ids, and offsets that can be laid back on the text as received.
    """

    def __init__(self, normalize: Callable[[str], str], added_tokens: Iterable[str]) -> None:
        controls = (chr(c) for c in range(0xA0) if unicodedata.category(chr(c)) == "Cc")
        silent = "".join(re.escape(c) for c in controls if not normalize(c))
        before = "|".join([r"\A", *map(re.escape, added_tokens)])
        self._any = re.compile(f"[{silent}]") if silent else None
        self._leading = re.compile(f"({before})[{silent}]+") if silent else None

    def drop(self, text: str) -> tuple[str, Sequence[int] | None]:
        """Return the text without them and, when some were dropped, the place each character had."""
        if self._any is None or self._leading is None or not self._any.search(text):
            return text, None
        dropped = {i for match in self._leading.finditer(text) for i in range(match.end(1), match.end())}
        kept = [i for i in range(len(text)) if i not in dropped]
        return "".join(text[i] for i in kept), kept


def laid_back(offsets: Sequence[Span], places: Sequence[int]) -> list[Span]:
    """Return spans of a text without dropped characters as spans of the text as received."""
    return [(places[start], places[end - 1] + 1) if end > start else (start, end) for start, end in offsets]


def whole_characters(text: str, offsets: Sequence[Span]) -> Sequence[Span]:
    """Let each span reach over the code points that compose with its last one.

    Of `e` and U+0301, which the normalizer composes, the library reports only the `e`.
    """
    if not offsets or unicodedata.is_normalized("NFKC", text):  # nothing composes
        return offsets
    stops = [start for start, _ in offsets[1:]] + [len(text)]
    return [(start, _reach(text, start, end, stop)) for (start, end), stop in zip(offsets, stops, strict=True)]


def _reach(text: str, start: int, end: int, stop: int) -> int:
    while start < end < stop and _composes(text[max(start, end - NEAR_CHARS) : end], text[end]):
        end += 1
    return end


def _composes(before: str, mark: str) -> bool:
    apart = unicodedata.normalize("NFKC", before) + unicodedata.normalize("NFKC", mark)
    return unicodedata.normalize("NFKC", before + mark) != apart
