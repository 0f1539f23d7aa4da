"""Computes the figures of the model card from labels and answers. Must not know the network or files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence

from glossa.evaluation.metrics import labels, vectors

Span = tuple[int, int, str]
HAN = re.compile(r"([\u3400-\u9fff])")


def accuracy(gold: Sequence[Hashable], given: Sequence[Hashable]) -> float:
    """Return the share of equal labels."""
    return labels.accuracy(gold, given) / labels.PERCENT


def macro_f1(gold: Sequence[Hashable], given: Sequence[Hashable]) -> float:
    """Return the mean F1 over the labels that occur, as `glossa evaluate` computes it."""
    return labels.macro_f1(gold, given) / labels.PERCENT


def majority(gold: Sequence[Hashable]) -> object:
    """Return the most frequent label, the baseline's only answer."""
    return labels.majority(gold)[0]


def span_f1(gold: Sequence[set[Span]], given: Sequence[set[Span]]) -> float:
    """Return the F1 of exact (start, end, kind) spans over all texts (Tjong Kim Sang & De Meulder 2003)."""
    hits = sum(len(a & b) for a, b in zip(gold, given, strict=True))
    total = sum(map(len, gold)) + sum(map(len, given))
    return 2 * hits / max(1, total)


def spans(tags: Sequence[str], offsets: Sequence[tuple[int, int]], text: str) -> set[Span]:
    """Return the entities of one text. B- opens one, I- of the same kind continues it. Outer spaces do not count."""
    found: list[Span] = []
    previous = "O"
    for tag, (start, end) in zip(tags, offsets, strict=True):
        if start == end:
            continue
        if tag.startswith("I-") and previous[2:] == tag[2:]:
            found[-1] = (found[-1][0], end, tag[2:])
        elif tag != "O":
            found.append((start, end, tag[2:]))
        previous = tag
    trimmed = set()
    for start, end, kind in found:
        inner = text[start:end]
        trimmed.add((start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip()), kind))
    return trimmed


def words(answer: str) -> list[str]:
    """Return the words of an answer without case and punctuation; Chinese characters are words (MLQA, Lewis 2020)."""
    plain = "".join(c for c in answer.lower() if not unicodedata.category(c).startswith("P"))
    return re.sub(r"\b(a|an|the)\b", " ", HAN.sub(r" \1 ", plain)).split()


def answer_f1(gold: str, given: str) -> float:
    """Return the F1 of the words of two answers (SQuAD: Rajpurkar et al. 2016)."""
    a, b = words(gold), words(given)
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b)) if shared else float(a == b)


def exact(gold: str, given: str) -> float:
    """Return 1.0 if the words of two answers are the same."""
    return float(words(gold) == words(given))


def spearman(gold: Sequence[float], given: Sequence[float]) -> float:
    """Return Spearman's rank correlation."""
    return vectors.spearman(gold, given) / vectors.PERCENT
