"""Splits a text into the words that byte pair encoding reads, by the rules of its language.

The steps have the order of `XLMTokenizer._tokenize` (transformers, tokenization_xlm.py). Must not know vocabularies.
"""

from __future__ import annotations

import unicodedata

from functions.tokenizers.xlm import moses, segmenters

# normalise-romanian.py and then remove-diacritics.py of Sennrich's WMT16 scripts
ROMANIAN = str.maketrans("ŞşŢţȘșȚțĂăÂâÎî", "SsTtSsTtAaAaIi")


def split_words(text: str, lang: str, *, lowercase: bool) -> list[str]:
    """Return the words of a text, without empty ones. With `lowercase` accents are removed too.

    Raises Unprocessable when the segmenter of the language is not installed.
    """
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
    """Return the words in lower case and without accents.

    They are joined first, because whether a Greek sigma is final depends on its neighbours.
    """
    apart = unicodedata.normalize("NFD", " ".join(words).lower())
    if not apart.isascii():
        apart = "".join(char for char in apart if unicodedata.category(char) != "Mn")
    return apart.lower().split(" ")
