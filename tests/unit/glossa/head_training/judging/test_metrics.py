"""Measures agree with values worked out by hand, and with their definitions."""

from __future__ import annotations

import math

import pytest

from glossa.head_training.judging import metrics
from glossa.head_training.judging.confusion_picture import confusion_svg


def test_scores_of_labels_and_entities() -> None:
    """Precision, recall and F1 count what is right; macro F1 leaves out labels that the data lacks."""
    truths, guesses = [{"a"}, {"a"}, {"b"}, {"b"}], [{"a"}, {"b"}, {"b"}, {"b"}]
    found = metrics.label_scores(truths, guesses, ["a", "b", "c"])
    assert (found["a"].precision, found["a"].recall, found["b"].n_rows) == (1.0, 0.5, 2)
    assert metrics.macro_f1(found) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert metrics.accuracy(truths, guesses) == 0.75
    entities = metrics.micro([{(0, 3, "X"), (4, 6, "Y")}], [{(0, 3, "X"), (4, 5, "Y")}])
    assert (entities.precision, entities.recall, entities.f1) == (0.5, 0.5, 0.5)
    assert metrics.confusion([0, 0, 1], [0, 1, 1], 2) == [[1, 1], [0, 1]]


def test_ranks() -> None:
    """Spearman has mean ranks for ties, and nDCG the gains of its paper."""
    assert metrics.spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0)
    assert metrics.spearman([1, 1, 2], [3, 2, 4]) == pytest.approx(math.sqrt(3) / 2)
    assert math.isnan(metrics.spearman([1, 1], [1, 2]))
    assert metrics.ndcg([0, 1], [0.9, 0.1], ["q", "q"]) == pytest.approx(1 / math.log2(3))
    assert math.isnan(metrics.ndcg([1, 1], [0.9, 0.1], ["q", "q"]))


def test_the_picture_escapes_names_and_bounds_its_size() -> None:
    """A label is never markup, and a matrix of many labels shows those that are confused most."""
    many = [f"<{number}>" for number in range(60)]
    counts = [[1 if row == column or (row == 7 and column == 8) else 0 for column in range(60)] for row in range(60)]
    picture = confusion_svg(many, counts)
    assert "&lt;7&gt;" in picture
    assert "<7>" not in picture
    assert picture.count("rotate") == 40
