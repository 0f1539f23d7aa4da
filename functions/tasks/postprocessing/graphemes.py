"""Finds grapheme clusters (Unicode annex 29): characters, as a person sees them, that must not be split.

It works by general categories, because Python has no table of clusters. No cluster of the annex is ever split; a few
sequences that the annex would split stay whole. It also says where words end. Must not know tokens or tasks.
"""

from __future__ import annotations

import unicodedata

MARKS = frozenset({"Mn", "Me", "Mc"})
VIRAMA = 9  # the combining class of signs that join the next consonant
ZWJ, ZWSP = "\u200d", "\u200b"
NEAR_MARKS = 8  # how far back to look for such a sign
NEAR_CHARS = 64  # how far to follow a cluster; this keeps the time linear for hostile text
# scripts that write words without spaces between them: first and last code point of their blocks
_UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x312F),  # radicals and punctuation of East Asia, kana, Bopomofo
    (0x31A0, 0x9FFF),  # strokes, enclosed letters, ideographs
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # ideographs
    (0xFE30, 0xFE4F),  # vertical punctuation
    (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF9F),  # wide punctuation, narrow kana
    (0x1AFF0, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # ideographs
)  # fmt: skip
_SPACING = frozenset("\u0e33\u0eb3\uff9e\uff9f\u200c" + ZWJ)
_BREAKS = frozenset({"Cc", "Zl", "Zp"})
_PREPENDED = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\u0d4e\U000111c2"
    "\U000111c3\U000113d1\U0001193f\U00011941\U00011a3a\U00011a84\U00011a85\U00011a86\U00011a87\U00011a88\U00011a89"
    "\U00011d46\U00011f02"
)


def inside(text: str, at: int) -> bool:
    """Whether code point `at` of `text` is inside a grapheme cluster, so that a cut before it would split one."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after < "\u0300" and before < "\u0300":
        return before == "\r" and after == "\n"
    if unicodedata.category(before) in _BREAKS or unicodedata.category(after) in _BREAKS:
        return False
    return _extends(after) or _binds(before, after) or _hangul(before, after) or _conjunct(text, at)


def is_unspaced(char: str) -> bool:
    """Whether a character is of a script that writes words without spaces, or of its punctuation."""
    code = ord(char)
    return any(first <= code <= last for first, last in _UNSPACED)


def is_seam(text: str, at: int) -> bool:
    """Whether a word may end before code point `at`, in a script without spaces: between two clusters, one of it."""
    if not 0 < at < len(text) or inside(text, at):
        return False
    return is_unspaced(text[at - 1]) or is_unspaced(text[at])


def is_space(char: str) -> bool:
    """Whether a character ends a word: white space of any kind, and the space without width of Thai and Khmer."""
    return char.isspace() or char == ZWSP


def is_break(char: str) -> bool:
    """Whether a character is white space that begins something new: a line break of any kind, or a tab."""
    return char.isspace() and unicodedata.category(char) != "Zs"


class Clusters:
    """The clusters of one text. They are computed once, for any number of spans.

    Nearly all spans end between clusters: for these, only both ends are checked. The first span that does not makes
    the class check every place of the text, once.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._places = b""  # of every place of the text: 1 inside a cluster, 0 between two

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """Return the smallest span that covers [start, end) and splits no cluster within `NEAR_CHARS` of it."""
        if not (inside(self.text, start) or inside(self.text, end)):
            return start, end
        if not self._places:
            self._places = bytes(inside(self.text, at) for at in range(len(self.text) + 1))
        first = self._places.rfind(0, max(0, start - NEAR_CHARS + 1), start + 1)
        last = self._places.find(0, end, end + NEAR_CHARS)
        return (start if first < 0 else first), (end if last < 0 else last)


def _extends(after: str) -> bool:
    return (
        unicodedata.category(after) in MARKS
        or after in _SPACING
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= after <= "\U000e007f"  # tags of flags
    )


def _binds(before: str, after: str) -> bool:
    if before == ZWJ or before in _PREPENDED:
        return not after.isspace()
    return _is_flag_letter(before) and _is_flag_letter(after)


def _conjunct(text: str, at: int) -> bool:
    """Whether a consonant follows a sign that joins it to the one before. Marks between them are skipped."""
    if unicodedata.category(text[at]) != "Lo":
        return False
    for char in reversed(text[max(0, at - NEAR_MARKS) : at]):
        if unicodedata.combining(char) == VIRAMA:
            return True
        if unicodedata.category(char) not in MARKS:
            return False
    return False


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _hangul(before: str, after: str) -> bool:
    """Whether both are letters of one Korean syllable. A precomposed syllable also ends in such a letter."""
    if "\u1100" <= before <= "\u115f" or "\ua960" <= before <= "\ua97f":
        return "\u1100" <= after <= "\u11ff" or "\uac00" <= after <= "\ud7ff" or "\ua960" <= after <= "\ua97f"
    return "\u1160" <= after <= "\u11ff" or "\ud7b0" <= after <= "\ud7ff"
