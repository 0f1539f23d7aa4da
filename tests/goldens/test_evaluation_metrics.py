"""The metrics of `glossa evaluate` equal those of seqeval, scikit-learn, scipy and the official scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from glossa.evaluation.metrics import answers, entities, labels, vectors

RECORDED: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "evaluation_metrics.json").read_text(encoding="utf-8")
)


def test_entities_are_those_of_seqeval() -> None:
    """Strict IOB2 and the rule of CoNLL give its F1 on tags of every kind, also on those that are no IOB2."""
    for case in RECORDED["entities"]:
        strict = entities.f1(case["gold"], case["given"], entities.strict_entities)
        conll = entities.f1(case["gold"], case["given"], entities.conll_entities)
        assert (strict, conll) == pytest.approx((100 * case["strict"], 100 * case["conll"])), case
    assert any(case["strict"] != case["conll"] for case in RECORDED["entities"])


def test_labels_are_those_of_sklearn() -> None:
    """Accuracy and macro F1, also where a label is only predicted."""
    for case in RECORDED["labels"]:
        found = labels.accuracy(case["gold"], case["given"]), labels.macro_f1(case["gold"], case["given"])
        assert found == pytest.approx((100 * case["accuracy"], 100 * case["macro_f1"]))


def test_rank_correlation_is_that_of_scipy() -> None:
    """With many equal values."""
    for case in RECORDED["graded"]:
        assert vectors.spearman(case["first"], case["second"]) == pytest.approx(100 * case["spearman"])


@pytest.mark.parametrize("case", RECORDED["answers"], ids=lambda case: case["lang"])
def test_answers_are_judged_as_the_official_scripts_do(case: Mapping[str, Any]) -> None:
    """By the rules of SQuAD, and by those of MLQA for the language."""
    for name, words in (("squad", answers.squad_words), ("mlqa", answers.mlqa_words(case["lang"]))):
        exact = answers.exact_match(case["gold"], case["given"], words)
        f1 = answers.f1(case["gold"], case["given"], words)
        assert {"exact_match": exact, "f1": f1} == pytest.approx(case[name])
