"""Answers of a model become figures: right answers give 100, and a tag of a word is that of its first token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from functions.messages import TextInput
from glossa.evaluation.examples import Choice, Example, Graded, Labelled, Question, Tagged, Translation
from glossa.evaluation.measures import MEASURES, word_tags

TOKEN = {"entity": "B-PER", "start": 0, "end": 3}
VECTORS = {"Ja.": [1.0, 0.1], "Yes.": [2.0, 0.0], "Nein.": [0.1, 1.0], "No.": [0.0, 3.0]}
CASES: Sequence[tuple[Any, Sequence[Example], Sequence[object], Sequence[object]]] = [
    (
        "labels",
        [Labelled("a", "x"), Labelled("b", "y")],
        [[{"label": "x"}], [{"label": "y"}]],
        [[{"label": "x"}], None],
    ),
    ("entities", [Tagged("Ali", ((0, 3),), ("B-PER",))] * 3, [[TOKEN]] * 3, [[TOKEN], None, [TOKEN]]),
    ("squad", [Question("?", "the sea", ("sea",))] * 2, [{"answer": "The Sea!"}] * 2, [{"answer": "sea"}, None]),
    ("mlqa", [Question("?", "das Meer", ("Meer",))] * 2, [{"answer": "das Meer"}] * 2, [{"answer": "Meer"}, None]),
    ("choices", [Choice("a", ("b", "c"), 0)] * 2, [[{"index": 0}]] * 2, [[{"index": 0}], None]),
    (
        "retrieval",
        [Translation("Ja.", "Yes."), Translation("Nein.", "No.")],
        list(VECTORS.values())[::2] + list(VECTORS.values())[1::2],
        [VECTORS["Ja."], None, VECTORS["Yes."], VECTORS["No."]],
    ),
    (
        "similarity",
        [Graded("a", "b", 5.0), Graded("c", "d", 1.0), Graded("e", "f", 0.0)],
        [[1, 0], [1, 0], [1, 0], [1, 0], [1, 2], [-1, 0]],
        [None, [1, 0], [1, 0], [1, 0], [1, 2], [-1, 0]],
    ),
]


@pytest.mark.parametrize(
    ("kind", "examples", "right", "wrong"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_right_answers_give_100_and_missing_ones_less(
    kind: Any, examples: Sequence[Example], right: Sequence[object], wrong: Sequence[object]
) -> None:
    """An input that the model could not read counts as wrong; it never stops the measurement."""
    measure = MEASURES[kind]
    assert len(measure.inputs(examples)) == len(right)
    assert all(figure == pytest.approx(100) for figure in measure.score(examples, right, "de").values())
    assert max(measure.score(examples, wrong, "de").values()) < 100
    assert all(0 < figure <= 100 for figure in measure.baseline(examples).values())


def test_one_label_has_no_baseline() -> None:
    """The commonest label of texts in one language is always right about their language."""
    assert MEASURES["labels"].baseline([Labelled("a", "deu_Latn"), Labelled("b", "deu_Latn")]) == {}


def test_the_tag_of_a_word_is_that_of_its_first_token() -> None:
    """A word in several tokens, one without a token, and a token that covers two words."""
    tokens = [
        {"entity": tag, "start": start, "end": end} for tag, start, end in [("B-A", 0, 2), ("O", 2, 4), ("B-B", 6, 9)]
    ]
    assert word_tags([(0, 4), (4, 5), (5, 7), (7, 9)], tokens) == ["B-A", "O", "B-B", "B-B"]
    assert word_tags([(0, 1)], []) == ["O"]


def test_inputs_are_asked_as_the_task_reads_them() -> None:
    """Pairs are pairs, contexts are the second text, and choices stand beside the text."""
    assert MEASURES["labels"].inputs([Labelled("a", "x", "b")]) == [TextInput("a", "b")]
    assert MEASURES["squad"].inputs([Question("q", "c", ("c",))]) == [TextInput("q", "c")]
    assert MEASURES["choices"].inputs([Choice("a", ("b", "c"), 1)]) == [TextInput("a", texts=("b", "c"))]
