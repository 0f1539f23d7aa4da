"""Accuracy, macro F1 and what always answering the commonest label gives. Pure functions over labels.

A prediction of None is an input without an answer; it is wrong. Must not know texts or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

PERCENT = 100.0


def accuracy(gold: Sequence[object], predicted: Sequence[object]) -> float:
    """Return the share of equal pairs in percent. Raises ValueError when there are none, or two lengths."""
    pairs = _pairs(gold, predicted)
    return PERCENT * sum(right == given for right, given in pairs) / len(pairs)


def macro_f1(gold: Sequence[object], predicted: Sequence[object]) -> float:
    """Return the mean F1, in percent, over all labels that occur in `gold` or `predicted`; F1 without a hit is 0.

    None is not a label. As `sklearn.metrics.f1_score(average="macro")`. Raises ValueError as `accuracy`.
    """
    pairs = _pairs(gold, predicted)
    hits = Counter(right for right, given in pairs if right == given)
    n_gold, n_given = Counter(gold), Counter(given for given in predicted if given is not None)
    labels = n_gold.keys() | n_given.keys()
    return PERCENT * sum(2 * hits[label] / (n_gold[label] + n_given[label]) for label in labels) / len(labels)


def majority(gold: Sequence[object]) -> list[object]:
    """Return the commonest gold label for every input; of equals, the first in the order of their text."""
    counts = Counter(gold)
    best = min(counts, key=lambda label: (-counts[label], str(label)))
    return [best] * len(gold)


def _pairs(gold: Sequence[object], predicted: Sequence[object]) -> list[tuple[object, object]]:
    if not gold:
        raise ValueError("got no gold answers, expected at least one")
    return list(zip(gold, predicted, strict=True))
