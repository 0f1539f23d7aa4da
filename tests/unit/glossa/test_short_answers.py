"""Every task's answer is said in a few words."""

from __future__ import annotations

from typing import Any

import pytest

from functions.tasks.registry import TASK_NAMES
from glossa.short_answers import SHORT, short_answer


def test_every_task_has_a_form() -> None:
    """A new task cannot be forgotten here."""
    assert sorted(SHORT) == sorted(TASK_NAMES)


@pytest.mark.parametrize(
    ("task", "value", "said"),
    [
        ("text-classification", {"label": "sports", "score": 0.916}, "sports 0.92"),
        ("text-classification", [{"label": str(i), "score": 0.1} for i in range(7)],
         "0 0.10, 1 0.10, 2 0.10, 3 0.10, 4 0.10, … (7)"),
        ("zero-shot-classification", {"sequence": "x", "labels": ["a", "b"], "scores": [0.9, 0.1]}, "a 0.90, b 0.10"),
        ("token-classification", [], "no names"),
        ("token-classification", [{"entity": "B-LOC", "word": "Paris", "score": 1.0}], "B-LOC Paris 1.00"),
        ("question-answering", {"answer": "", "score": 0.5, "start": 0, "end": 0}, "no answer 0.50"),
        ("question-answering", [{"answer": "a", "score": 0.5}, {"answer": "b", "score": 0.25}], "a 0.50, b 0.25"),
        ("multiple-choice", [{"index": 1, "choice": "rain", "score": 0.75}], "rain 0.75"),
        ("fill-mask", [[{"token_str": "a", "score": 0.5}], [{"token_str": "b", "score": 0.25}]], "a 0.50 / b 0.25"),
        ("text-generation", {"generated_text": "one\ntwo"}, "one two"),
        ("feature-extraction", [0.5, 0.25], "2 numbers: 0.500, 0.250, …"),
        ("feature-extraction", [[0.5], [0.25]], "2 vectors of 1 numbers"),
        ("feature-extraction", {"vectors": [], "precision": "int8"}, "vectors, precision"),
        ("feature-extraction", [{"token_id": 5, "token": "Paris", "weight": 0.5}], "Paris 0.50"),
        ("sentence-similarity", [0.9, 0.1], "0.90, 0.10"),
        ("rerank", [{"index": 1, "score": 0.9}], "document 1 0.90"),
        ("a new task", {"a": 1}, "{'a': 1}"),
    ],
)  # fmt: skip
def test_an_answer_is_a_few_words(task: str, value: Any, said: str) -> None:
    """The words name what a person looks for first."""
    assert short_answer(task, value) == said
