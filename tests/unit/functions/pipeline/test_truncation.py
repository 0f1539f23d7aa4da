"""A text that is too long is split into windows, cut where the caller allows it, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from functions.messages import TextInput
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import TooLarge, Unprocessable
from tests.unit.functions.task_requests import LONG, ZERO_SHOT, tokenize_inputs, tokenize_request, with_languages


def test_labels_are_read_at_the_same_places(model: Model, tokenizer: Tokenizer) -> None:
    """A long text has the same windows for each label. Each window holds the whole hypothesis, and no token is lost."""
    found = tokenize_request(model, tokenizer, "zero-shot-classification", LONG, **ZERO_SHOT)
    parts = [[window for window in found.windows if window.part == part] for part in range(3)]
    assert len({tuple(window.start for window in part) for part in parts}) == 1
    for part, label in zip(parts, ZERO_SHOT["candidate_labels"], strict=True):
        hypothesis = tokenizer.encode(f"This example is {label}.").ids
        for window in part:
            second = [token for token, side in zip(window.input_ids, window.sequence_ids, strict=True) if side == 1]
            assert tuple(second) == hypothesis
            assert len(window.input_ids) <= model.max_tokens
        first = [t for w in part for t, side in zip(w.input_ids, w.sequence_ids, strict=True) if side == 0]
        assert tuple(first) == tokenizer.encode(LONG).ids
    assert found.truncated == (False,)


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "message"),
    [
        ("text-classification", {"text": "a", "lang": "xx"}, {}, r"inputs\[0\].lang: got 'xx', expected one of en, fr"),
        ("text-generation", {"text": "a", "lang": "EN"}, {}, "got 'EN', expected one of en, fr"),
        (
            "multiple-choice",
            {"prompt": "a", "choices": [LONG]},
            {},
            "got a pair of . and .* expected at most 60 together",
        ),
        ("rerank", {"query": LONG, "documents": ["a"]}, {}, "expected at most 60 together, or 53 in the first text"),
        ("question-answering", {"question": LONG, "context": "a"}, {}, "or 53 in the first text"),
        ("question-answering", {"question": "a", "context": LONG}, {"doc_stride": 60}, "got a stride of 60 tokens"),
        ("zero-shot-classification", LONG, {"candidate_labels": ["rights " * 30]}, "at most 30 in the second text"),
        ("text-generation", LONG, {}, r"inputs\[0\]: got \d+ tokens, expected at most 42"),
        ("text-generation", "a", {"max_new_tokens": 64}, "max_new_tokens: got 64, expected less than the 64 tokens"),
        ("fill-mask", {"text": "a <mask>", "text_pair": LONG}, {}, "expected at most 60 together"),
    ],
)
def test_what_does_not_fit_is_named(
    model: Model, tokenizer: Tokenizer, task: str, inputs: Any, parameters: dict[str, Any], message: str
) -> None:
    """No text is cut unasked. What fits no window is refused with its size and the limit."""
    with pytest.raises((TooLarge, Unprocessable), match=message):
        tokenize_request(with_languages(model), tokenizer, task, inputs, **parameters)


def test_truncation_keeps_what_the_task_needs(model: Model, tokenizer: Tokenizer) -> None:
    """A cut choice keeps its beginning, and a cut prompt keeps its end. Both say that something was cut."""
    found = tokenize_request(
        model, tokenizer, "multiple-choice", {"prompt": "a", "choices": ["b", LONG]}, truncation=True
    )
    assert [len(window.input_ids) for window in found.windows][1] == model.max_tokens
    assert found.truncated == (True,)
    found = tokenize_request(model, tokenizer, "text-generation", LONG, truncation=True, max_new_tokens=10)
    [window] = found.windows
    assert window.input_ids == (0, *tokenizer.encode(LONG).ids[-52:], 2)
    assert found.truncated == (True,)


def test_windows_that_share_nearly_all_are_not_made(model: Model, tokenizer: Tokenizer) -> None:
    """A stride that would read a long context thousands of times is refused before windows are made."""
    large = model.model_copy(update={"max_tokens": 4096})
    inputs = {"question": "a", "context": "a " * 40_000}
    with pytest.raises(TooLarge, match=r"inputs\[0\]: got \d+ tokens to read for it, at most 2000000"):
        tokenize_request(large, tokenizer, "question-answering", inputs, doc_stride=375)


def test_truncation_reads_the_first_window_and_says_so(model: Model, tokenizer: Tokenizer) -> None:
    """With `truncation` a long text has one window, and `truncated` is true."""
    inputs = (TextInput(LONG), TextInput("short"))
    tokenized = tokenize_inputs("text-classification", *inputs, model=model, tokenizer=tokenizer, truncation=True)
    assert len(tokenized.windows[0].input_ids) == model.max_tokens
    assert tokenized.truncated == (True, False)


def test_a_pair_splits_its_longer_text(model: Model, tokenizer: Tokenizer) -> None:
    """Every window of a long pair holds the whole short text, in the layout of the reference."""
    tokenized = tokenize_inputs("text-classification", TextInput(LONG, "a b"), model=model, tokenizer=tokenizer)
    short = tokenizer.encode("a b").ids
    assert len(tokenized.windows) > 1
    for window in tokenized.windows:
        assert len(window.input_ids) <= model.max_tokens
        assert window.input_ids[-len(short) - 3 :] == (2, 2, *short, 2)


def test_a_pair_of_two_long_texts_is_refused(model: Model, tokenizer: Tokenizer) -> None:
    """The error gives the limits and suggests `truncation`."""
    with pytest.raises(TooLarge, match="expected at most 60 together, or 30 in the shorter text") as caught:
        tokenize_inputs("text-classification", TextInput(LONG, LONG), model=model, tokenizer=tokenizer)
    assert "truncation" in str(caught.value.hint)


@pytest.mark.parametrize("n_words", range(40, 60))
def test_all_labels_have_their_windows_at_the_same_places(model: Model, tokenizer: Tokenizer, n_words: int) -> None:
    """A text that fits with a short label but not with a long one has the same windows for both."""
    task, labels = "zero-shot-classification", ["a", "a b c d e f"]
    request = TextRequest(task, (TextInput("a " * n_words),), parse_parameters(task, {"candidate_labels": labels}))
    tokenized = tokenize(request, model, tokenizer)
    short, long = ([window for window in tokenized.windows if window.part == part] for part in (0, 1))
    assert [(w.start, w.sequence_ids.count(0)) for w in short] == [(w.start, w.sequence_ids.count(0)) for w in long]
