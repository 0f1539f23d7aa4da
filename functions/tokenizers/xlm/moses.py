"""Normalizes punctuation and splits words by the rules of Moses, as the reference does with sacremoses.

The library applies its own rules. Three of them are replaced by faster forms with the same result, so that the time
stays linear in hostile text. Must not know vocabularies, or languages with a segmenter of their own.
"""

# ruff: noqa: RUF001 - these rules are about characters that look alike

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

import sacremoses

MAX_LANGUAGES = 128

# replace-unicode-punctuation.perl, as in the reference: each character becomes the one at the same index
PUNCTUATION = str.maketrans(
    dict(zip("，、”“∶：？《》）！（；」「’━〈〉【】％～", ',,""::?"")!(;""\'-<>[]%~', strict=True))
    | dict(zip("０１２３４５６７８９", "0123456789", strict=True))
    | {"…": "..."}
)
FULL_STOP = re.compile(r"[。．]\s*")
# two rules of the library search again from every character of a run; these patterns match the whole run at once
DOTS_BEFORE_QUOTE = r'(\.+)"(\s*[^<])'
DOTS_BEFORE_QUOTE_ONCE = re.compile(r'(\.+)("\s*[^<])?')
MARKER_ONCE = re.compile(r"((?:DOT)+)(MULTI)?")


class _MosesSplitter(sacremoses.MosesTokenizer):  # type: ignore[misc]  # the library has no types
    """The library's word splitter, with sets of letters that are made once."""

    _ALPHA = frozenset(sacremoses.MosesTokenizer.IsAlpha)
    _LOWER = frozenset(sacremoses.MosesTokenizer.IsLower)

    def __init__(self, lang: str) -> None:
        super().__init__(lang=lang)
        same = self.IsAlpha is sacremoses.MosesTokenizer.IsAlpha
        self._alpha = self._ALPHA if same else frozenset(self.IsAlpha)

    def isanyalpha(self, text: str) -> bool:
        return not self._alpha.isdisjoint(text)

    def islower(self, text: str) -> bool:
        return self._LOWER.issuperset(text)

    def restore_multidots(self, text: str) -> str:
        return MARKER_ONCE.sub(lambda found: "." * (len(found[1]) // 3) if found[2] else found[0], text)


def clean(text: str, lang: str) -> str:
    """Return the text with Latin punctuation, uniform quotes and spaces, and no unprintable characters."""
    text = FULL_STOP.sub(". ", text).translate(PUNCTUATION)
    return without_unprintable(_normalizer(lang).normalize(text))


def words(text: str, lang: str) -> list[str]:
    """Return the words and punctuation marks of a text that `clean` returned."""
    found: list[str] = _splitter(lang).tokenize(text, return_str=False, escape=False)
    return found


def without_unprintable(text: str) -> str:
    """Return the text without control, format, private, unassigned and surrogate code points."""
    if text.isprintable():
        return text
    return "".join(char for char in text if unicodedata.category(char)[0] != "C")


@lru_cache(MAX_LANGUAGES)
def _normalizer(lang: str) -> Any:
    normalizer = sacremoses.MosesPunctNormalizer(lang=lang)
    normalizer.substitutions = [
        (DOTS_BEFORE_QUOTE_ONCE, _quote_before_dots) if rule == DOTS_BEFORE_QUOTE else (rule, into)
        for rule, into in normalizer.substitutions
    ]
    return normalizer


def _quote_before_dots(found: re.Match[str]) -> str:
    return f'"{found[1]}{found[2][1:]}' if found[2] else found[0]


@lru_cache(MAX_LANGUAGES)
def _splitter(lang: str) -> _MosesSplitter:
    return _MosesSplitter(lang)
