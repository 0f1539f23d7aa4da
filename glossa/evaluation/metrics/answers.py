"""Exact match and F1 of extracted answers, by the rules of SQuAD v1.1, and by those of MLQA for each language.

SQuAD (Rajpurkar et al. 2016): case, ASCII punctuation, English articles and white space do not count. MLQA (Lewis et
al. 2020): all punctuation of Unicode, the articles of the answer's language; Chinese counts each character as a word.
Must not know models or files.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

PERCENT = 100.0
Normalize = Callable[[str], list[str]]

# What MLQA takes for articles. The Arabic pattern takes away every "al", inside words too, as the official script does.
ARTICLES = {
    "en": r"\b(?:a|an|the)\b",
    "es": r"\b(?:un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(?:của|là|cái|chiếc|những)\b",
    "de": r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": "ال",
}
MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
HAN = re.compile("([\u4e00-\u9fa5])")


def squad_words(text: str) -> list[str]:
    """Return the words of an answer that SQuAD compares."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(ARTICLES["en"], " ", kept).split()


def mlqa_words(language: str) -> Normalize:
    """Return what splits an answer into the words that MLQA compares. Raises ValueError for a language it has not."""
    if language not in MLQA_LANGUAGES:
        raise ValueError(f"got language {language!r}, expected one of MLQA's: {', '.join(MLQA_LANGUAGES)}")

    def words(text: str) -> list[str]:
        kept = "".join(letter for letter in text.lower() if not _is_punctuation(letter))
        kept = re.sub(ARTICLES[language], " ", kept) if language in ARTICLES else kept
        return (HAN.sub(r" \1 ", kept) if language == "zh" else kept).split()

    return words


def exact_match(gold: Sequence[Sequence[str]], predicted: Sequence[str], words: Normalize) -> float:
    """Return the share of answers, in percent, that are one of the gold answers but for what does not count."""
    return _mean(gold, predicted, lambda right, given: float(words(right) == words(given)))


def f1(gold: Sequence[Sequence[str]], predicted: Sequence[str], words: Normalize) -> float:
    """Return the mean F1 over words, in percent: for each question that of the gold answer that fits best."""
    return _mean(gold, predicted, lambda right, given: _word_f1(words(right), words(given)))


def _mean(gold: Sequence[Sequence[str]], predicted: Sequence[str], score: Callable[[str, str], float]) -> float:
    if not gold:
        raise ValueError("got no questions, expected at least one")
    best = (max(score(right, given) for right in rights) for rights, given in zip(gold, predicted, strict=True))
    return PERCENT * sum(best) / len(gold)


def _word_f1(right: Sequence[str], given: Sequence[str]) -> float:
    n_same = sum((Counter(right) & Counter(given)).values())
    return 2 * n_same / (len(right) + len(given)) if n_same else 0.0


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
