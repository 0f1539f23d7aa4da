"""Answers to questions: each text once, best first, also at the end of a long context and beside a long question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import TooLarge, Unprocessable
from shared.messages import ModelOutput, Tensor
from tests.unit.functions.task_requests import run_request, tokenize_request

TASK = "question-answering"


def answers(model: Model, tokenizer: Tokenizer, question: str, context: str, likely: str, **parameters: Any) -> Any:
    """Answer a question when the model likes every token that touches the word `likely`, and no other."""
    inputs = {"question": question, "context": context}
    windows = tokenize_request(model, tokenizer, TASK, inputs, **parameters).windows
    places = [at for at in range(len(context)) if context.lower().startswith(likely.lower(), at)]

    def liked(span: tuple[int, int], side: int) -> float:
        return 9.0 * (side == 1 and any(span[0] < at + len(likely) and at < span[1] for at in places))

    logits = [liked(*token) for w in windows for token in zip(w.offsets, w.sequence_ids, strict=True)]
    output = ModelOutput(dict.fromkeys(("start", "end"), Tensor.floats(logits, (len(logits), 1))))
    body = {"inputs": inputs, "parameters": parameters}
    [value] = run_request(model, tokenizer, body, TASK, lambda calls: _shared(calls, output)).values
    return value


def _shared(calls: Sequence[Any], output: ModelOutput) -> list[ModelOutput]:
    [_] = calls  # the texts here fit in one call
    return [output]


def test_no_text_is_an_answer_twice(model: Model, tokenizer: Tokenizer) -> None:
    """Of six words at most six spans differ; `Paris` and `paris` in two windows are one answer, best first."""
    context = "Paris is large. " + "All human beings are born free and equal in dignity. " * 8 + "In paris it rains."
    found = answers(model, tokenizer, "Where?", context, "paris", top_k=10)
    texts = [each["answer"].lower() for each in found]
    scores = [each["score"] for each in found]
    assert len(set(texts)) == len(texts) == 10
    assert scores == sorted(scores, reverse=True)
    assert texts.count("paris") == 1
    few = answers(model, tokenizer, "Where?", "a b c d e f", "c", top_k=10)
    assert len({each["answer"] for each in few}) == len(few)


def test_the_last_word_of_a_thousand_is_found(model: Model, tokenizer: Tokenizer) -> None:
    """A long context is read to its end."""
    context = "a b " * 500 + "Turku"
    found = answers(model, tokenizer, "Where?", context, "Turku")
    assert (found["answer"], found["start"], found["end"]) == ("Turku", 2000, 2005)


def test_a_question_may_take_seven_eighths_of_a_window(model: Model, tokenizer: Tokenizer) -> None:
    """A question longer than half the window is answered beside a long context, while an eighth is left for it."""
    question, context = "a " * 50 + "?", "b a " * 100 + "Turku"
    n_question = len(tokenizer.encode(question).ids)
    assert 30 < n_question <= 53
    assert answers(model, tokenizer, question, context, "Turku")["answer"] == "Turku"
    with pytest.raises(TooLarge, match="at most 60 together, or 53 in the first text"):
        tokenize_request(model, tokenizer, TASK, {"question": "a " * 54, "context": context})


@pytest.mark.parametrize(
    ("question", "parameters", "message"),
    [
        ("a b", {"doc_stride": 58}, "got a stride of 58 tokens, expected less than the 58 of a window's text"),
        ("a " * 40, {"doc_stride": 30}, "got a stride of 30 tokens, expected less than the 20 of a window's text"),
        (
            "a b c d",
            {"max_seq_len": 8},
            "got a pair of 5 and 200 tokens, expected at most 4 together, or 3 in the first",
        ),
        (
            "a b",
            {"max_seq_len": 8, "doc_stride": 2},
            "got a stride of 2 tokens, expected less than the 2 of a window's",
        ),
    ],
)
def test_windows_that_fit_nothing_are_named(
    model: Model, tokenizer: Tokenizer, question: str, parameters: dict[str, int], message: str
) -> None:
    """A stride that leaves no room, and a window that the question fills, are refused with both numbers."""
    with pytest.raises((TooLarge, Unprocessable), match=message):
        tokenize_request(model, tokenizer, TASK, {"question": question, "context": "b a " * 100}, **parameters)
