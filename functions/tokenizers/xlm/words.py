"""A run of text -> the words that byte pair encoding reads, by the rules of its language.

The order of steps is that of `XLMTokenizer._tokenize` (transformers, tokenization_xlm.py). Must not know vocabularies.
"""

from __future__ import annotations

import unicodedata

from functions.tokenizers.xlm import moses, segmenters

# Sennrich's normalise-romanian.py and remove-diacritics.py, one after the other
ROMANIAN = str.maketrans("ŞşŢţȘșȚțĂăÂâÎî", "SsTtSsTtAaAaIi")


def words_of(text: str, lang: str, *, lowercase: bool) -> list[str]:
    """Return the words of a text, none empty. Raises Unprocessable for a language whose segmenter is missing."""
    found = _split(text, lang)
    if lowercase:
        found = _plain(found)
    return [word for word in found if word]


def _split(text: str, lang: str) -> list[str]:
    if lang == "zh":
        return moses.clean(" ".join(segmenters.chinese()(text)), lang).split()
    if lang == "th":
        return segmenters.thai()(moses.clean(text, lang))
    if lang == "ja":
        return segmenters.japanese()(moses.clean(text, lang))
    text = moses.clean(text, lang)
    return moses.words(text.translate(ROMANIAN) if lang == "ro" else text, lang)


def _plain(words: list[str]) -> list[str]:
    """Lowercase words and take their accents off: all at once, since a final sigma depends on its neighbours."""
    apart = unicodedata.normalize("NFD", " ".join(words).lower())
    if not apart.isascii():
        apart = "".join(char for char in apart if unicodedata.category(char) != "Mn")
    return apart.lower().split(" ")
