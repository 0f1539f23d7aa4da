"""The logits of an XLM model become answers as in transformers 4.57, the last version with such a pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.messages import TokenFacts, Window
from functions.tasks.postprocessing.answer_spans import best_spans, probabilities
from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.tokenizer_build.checkpoints import artifact_of
from tests.unit.functions.tokenizers import tiny_xlm

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "xlm_question_answering.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Make the tokenizer that was recorded with."""
    return read_tokenizer(artifact_of(tiny_xlm.write_tokenizer(tmp_path_factory.mktemp("xlm"))))


def _window(case: Mapping[str, Any]) -> Window:
    ids, types = case["input_ids"], case["token_type_ids"]
    middle, last = types.index(1) - 1, len(ids) - 1
    special = tuple(at in {0, middle, last} for at in range(len(ids)))
    sides = tuple(-1 if ours else kind for ours, kind in zip(special, types, strict=True))
    return Window(0, tuple(ids), lambda: TokenFacts(((0, 0),) * len(ids), special, sides))


@pytest.mark.parametrize("case", RECORDED, ids=[case["question"] for case in RECORDED])
def test_spans_and_scores_are_those_recorded(tokenizer: Tokenizer, case: Mapping[str, Any]) -> None:
    """Context and first `</s>` share the probability. Special and unknown tokens have none.

    Here the score of no answer is that of the first `</s>`. The reference reads it at `<s>`, which it has masked.
    The reference also lets answers begin at `</s>`, and then finds no word for them.
    """
    window = _window(case)
    question, context = (tokenizer.encode(case[name]).ids for name in ("question", "context"))
    assert window.input_ids == (0, *question, 1, *context, 1)
    rows = {name: [[logit] for logit in case[name]] for name in ("start", "end")}
    start, end, none = probabilities(tokenizer.layout, window, rows)
    first = window.input_ids.index(1)
    spans = [span for span in case["spans"] if first not in span]
    found = best_spans(start, end, len(spans), 15)
    assert len(spans) >= len(case["spans"]) - 1
    assert [score for score, _, _ in found] == pytest.approx([score for score, _, _ in spans], rel=1e-5)
    assert [span for _, *span in found] == [span for _, *span in spans]
    assert case["none"] == 0
    assert none == pytest.approx((1 - sum(start)) * (1 - sum(end)))
    assert (start[first], end[first]) == (0, 0)
