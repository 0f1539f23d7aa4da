"""The figures of the model card, on cases that can be worked out by hand."""

from __future__ import annotations

import pytest

from checkpoints.mini.finetuning import metrics


def test_macro_f1_is_the_mean_over_labels() -> None:
    """Label 0: F1 2/3. Label 1: F1 4/5."""
    assert metrics.macro_f1([0, 0, 1, 1], [0, 1, 1, 1]) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_spans_need_both_ends_and_the_kind() -> None:
    """One of two spans is right, one of three given is."""
    gold, given = {(0, 4, "PER"), (6, 9, "LOC")}, {(0, 4, "PER"), (6, 8, "LOC"), (6, 9, "ORG")}
    assert metrics.span_f1([gold], [given]) == pytest.approx(2 / 5)


def test_spans_are_read_from_tags() -> None:
    """A new B- opens another entity, the space before a word does not count."""
    offsets = [(0, 0), (0, 4), (4, 9), (9, 14), (0, 0)]
    found = metrics.spans(["O", "B-PER", "I-PER", "B-LOC", "O"], offsets, "Anna Karl Bonn")
    assert found == {(0, 9, "PER"), (10, 14, "LOC")}


@pytest.mark.parametrize(
    ("gold", "given", "f1"),
    [("the Rhine", "Rhine.", 1.0), ("in 1990", "1990", 2 / 3), ("北京市", "北京", 0.8), ("a", "b c", 0)],
)
def test_answers_share_words(gold: str, given: str, f1: float) -> None:
    """Articles and punctuation do not count; Chinese characters are words. An answer of an article alone has none."""
    assert metrics.answer_f1(gold, given) == pytest.approx(f1)


def test_spearman_takes_ties() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4."""
    assert metrics.spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486833)
