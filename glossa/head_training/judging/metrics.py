"""Measures of labels, grades and entities on held-out rows. Plain numbers. Must not know models or tensors."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from glossa.evaluation.metrics import vectors

TOP = 10  # documents of a query that nDCG looks at


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Precision, recall and F1 of one label, each from 0 to 1, and how often it is right in the data."""

    precision: float
    recall: float
    f1: float
    n_rows: int


def label_scores(
    truths: Sequence[AbstractSet[Hashable]], guesses: Sequence[AbstractSet[Hashable]], labels: Sequence[Hashable]
) -> dict[Hashable, LabelScore]:
    """Return the scores of each label. A truth is the set of what is right in a row: its labels, or its entities.

    A label is compared with itself, or with the last part of a tuple.
    """
    right, said, true = Counter[Hashable](), Counter[Hashable](), Counter[Hashable]()
    for truth, guess in zip(truths, guesses, strict=True):
        right.update(map(_label, truth & guess))
        said.update(map(_label, guess))
        true.update(map(_label, truth))
    return {label: _score(right[label], said[label], true[label]) for label in labels}


def micro(truths: Sequence[AbstractSet[Hashable]], guesses: Sequence[AbstractSet[Hashable]]) -> LabelScore:
    """Return precision, recall and F1 over all labels, or all entities: strict, as seqeval counts them."""
    right = sum(len(truth & guess) for truth, guess in zip(truths, guesses, strict=True))
    return _score(right, sum(map(len, guesses)), sum(map(len, truths)))


def macro_f1(scores: Mapping[Hashable, LabelScore]) -> float:
    """Return the mean F1 of the labels that the data has."""
    found = [score.f1 for score in scores.values() if score.n_rows]
    return sum(found) / len(found) if found else 0.0


def accuracy(truths: Sequence[object], guesses: Sequence[object]) -> float:
    """Return the share of rows whose guess is wholly right."""
    return sum(truth == guess for truth, guess in zip(truths, guesses, strict=True)) / max(1, len(truths))


def confusion(truths: Sequence[int], guesses: Sequence[int], n_labels: int) -> list[list[int]]:
    """Return how often each label (row) was taken for each label (column)."""
    counts = Counter(zip(truths, guesses, strict=True))
    return [[counts[truth, guess] for guess in range(n_labels)] for truth in range(n_labels)]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation, with mean ranks for equal values. It is nan where one side never varies."""
    varies = len(set(first)) > 1 and len(set(second)) > 1
    return vectors.spearman(first, second) / vectors.PERCENT if varies else math.nan


def ndcg(grades: Sequence[float], scores: Sequence[float], queries: Sequence[str]) -> float:
    """Return nDCG at TOP (Järvelin and Kekäläinen, 2002), the mean over queries with documents of unequal grades.

    The gain of a document is its grade above the least of all. It is nan without such a query.
    """
    least = min(grades, default=0.0)
    of_query: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for grade, score, query in zip(grades, scores, queries, strict=True):
        of_query[query].append((score, grade - least))
    found = []
    for documents in of_query.values():
        best = _gain(sorted((grade for _, grade in documents), reverse=True))
        if len({grade for _, grade in documents}) > 1:
            found.append(_gain([grade for _, grade in sorted(documents, key=lambda each: -each[0])]) / best)
    return sum(found) / len(found) if found else math.nan


def _gain(grades: Sequence[float]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(grades[:TOP]))


def _label(value: Hashable) -> Hashable:
    return value[-1] if isinstance(value, tuple) else value


def _score(right: int, said: int, true: int) -> LabelScore:
    precision, recall = right / said if said else 0.0, right / true if true else 0.0
    total = precision + recall
    return LabelScore(precision, recall, 2 * precision * recall / total if total else 0.0, true)
