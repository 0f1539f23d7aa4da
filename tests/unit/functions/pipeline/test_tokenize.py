"""Texts become windows that fit the model, tokenized once and never cut in silence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.messages import TextInput, Tokenized
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import TooLarge, Unprocessable
from tests.unit.functions.tokenizers.tiny import SENTENCES

LONG = " ".join(SENTENCES)


def cut(task: str, *inputs: TextInput, model: Model, tokenizer: Tokenizer, **parameters: object) -> Tokenized:
    """Tokenize one request. Raises the first input's error."""
    tokenized = tokenize(TextRequest(task, inputs, parse_parameters(task, parameters)), model, tokenizer)
    if tokenized.errors:
        raise tokenized.errors[min(tokenized.errors)]
    return tokenized


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "feature-extraction"])
def test_long_text_is_cut_into_windows_of_the_whole_texts_tokens(task: str, model: Model, tokenizer: Tokenizer) -> None:
    """Windows laid over each other by `start` give the ids and offsets of the text tokenized whole."""
    whole = tokenizer.encode(LONG)
    tokenized = cut(task, TextInput(LONG), model=model, tokenizer=tokenizer)
    ids: dict[int, int] = {}
    offsets: dict[int, tuple[int, int]] = {}
    for window in tokenized.windows:
        assert len(window.input_ids) == len(window.offsets) == len(window.special) <= model.max_tokens
        assert (window.input_ids[0], window.input_ids[-1]) == (0, 2)
        content = [k for k, special in enumerate(window.special) if not special]
        ids |= {window.start + i: window.input_ids[k] for i, k in enumerate(content)}
        offsets |= {window.start + i: window.offsets[k] for i, k in enumerate(content)}
    assert tuple(ids[i] for i in range(len(whole.ids))) == whole.ids
    assert tuple(offsets[i] for i in range(len(whole.ids))) == whole.offsets
    assert len(tokenized.windows) > 1
    assert tokenized.truncated == (False,)
    assert tokenized.fingerprint == tokenizer.fingerprint


def test_truncation_reads_the_first_window_and_says_so(model: Model, tokenizer: Tokenizer) -> None:
    """A caller who asks for truncation gets one window, and `truncated` where something was left out."""
    inputs = (TextInput(LONG), TextInput("short"))
    tokenized = cut("text-classification", *inputs, model=model, tokenizer=tokenizer, truncation=True)
    assert len(tokenized.windows[0].input_ids) == model.max_tokens
    assert tokenized.truncated == (True, False)


def test_a_pair_cuts_its_longer_text(model: Model, tokenizer: Tokenizer) -> None:
    """Every window of a long pair holds the short text whole, in the reference's layout."""
    tokenized = cut("text-classification", TextInput(LONG, "a b"), model=model, tokenizer=tokenizer)
    short = tokenizer.encode("a b").ids
    assert len(tokenized.windows) > 1
    for window in tokenized.windows:
        assert len(window.input_ids) <= model.max_tokens
        assert window.input_ids[-len(short) - 3 :] == (2, 2, *short, 2)


def test_a_pair_of_two_long_texts_is_refused(model: Model, tokenizer: Tokenizer) -> None:
    """Where no cut does both texts justice, the error gives both lengths, the limit and a way forward."""
    with pytest.raises(TooLarge, match="expected at most 60 together, or 30 in the shorter text") as caught:
        cut("text-classification", TextInput(LONG, LONG), model=model, tokenizer=tokenizer)
    assert "truncation" in str(caught.value.hint)


@settings(max_examples=40, deadline=None)
@given(places=st.sets(st.integers(0, len(SENTENCES)), min_size=1, max_size=6))
def test_every_mask_is_read_once(places: set[int], model: Model, tokenizer: Tokenizer) -> None:
    """However long the text and wherever its masks, each is the position of exactly one window."""
    words = list(SENTENCES)
    for place in sorted(places, reverse=True):
        words.insert(place, "<mask>")
    tokenized = cut("fill-mask", TextInput(" ".join(words)), model=model, tokenizer=tokenizer)
    read = [window.start + place - 1 for window in tokenized.windows for place in window.positions]
    whole = tokenizer.encode(" ".join(words)).ids
    assert read == [i for i, token in enumerate(whole) if token == model.mask_id]
    assert all(len(window.input_ids) == model.max_tokens for window in tokenized.windows)
    assert tokenized.truncated == (True,)


def test_a_mask_may_be_spelled_any_way(model: Model, tokenizer: Tokenizer) -> None:
    """`<mask>` stands for the model's own mask token."""
    own = model.model_copy(update={"mask_token": "</s>", "mask_id": 2})
    for text in ("a <mask> b", "a</s> b"):
        [window] = cut("fill-mask", TextInput(text), model=own, tokenizer=tokenizer).windows
        assert [window.input_ids[place] for place in window.positions] == [2]


def test_what_a_task_cannot_take_is_named(model: Model, tokenizer: Tokenizer) -> None:
    """No mask, too many masks, and text that reads as nothing are each a clear 422."""
    for text, message in [
        ("no mask", r"inputs\[0\]: got a text without a mask, expected at least one <mask>"),
        ("<mask>" * 65, "got 65 masks, expected at most 64"),
        ("\u200b", r"inputs\[0\]: got a text of 1 character that reads as nothing"),
    ]:
        with pytest.raises(Unprocessable, match=message):
            cut("fill-mask", TextInput(text), model=model, tokenizer=tokenizer)
    blind = model.model_copy(update={"mask_id": None})
    with pytest.raises(Unprocessable, match="has no mask token"):
        cut("fill-mask", TextInput("<mask>"), model=blind, tokenizer=tokenizer)
    with pytest.raises(Unprocessable, match=r"targets: got '\\u200b'"):
        cut("fill-mask", TextInput("<mask>"), model=model, tokenizer=tokenizer, targets=("\u200b",))


def test_a_bad_input_leaves_the_others_alone(model: Model, tokenizer: Tokenizer) -> None:
    """Asked for each, good inputs are numbered among themselves and bad ones keep their index."""
    task, inputs = "text-classification", (TextInput("a"), TextInput("\u200b"), TextInput("b"))
    tokenized = tokenize(TextRequest(task, inputs, parse_parameters(task, None)), model, tokenizer)
    errors = tokenized.errors
    assert [window.row for window in tokenized.windows] == [0, 1]
    assert list(errors) == [1]
    assert "inputs[1]" in errors[1].message
    with pytest.raises(Unprocessable, match=r"inputs\[1\]"):
        cut(task, *inputs, model=model, tokenizer=tokenizer)


@pytest.mark.parametrize("n_words", range(40, 60))
def test_all_labels_have_their_windows_at_the_same_places(model: Model, tokenizer: Tokenizer, n_words: int) -> None:
    """Near the limit a text fits beside a short label and not beside a long one; both then get the same windows."""
    task, labels = "zero-shot-classification", ["a", "a b c d e f"]
    request = TextRequest(task, (TextInput("a " * n_words),), parse_parameters(task, {"candidate_labels": labels}))
    tokenized = tokenize(request, model, tokenizer)
    short, long = ([window for window in tokenized.windows if window.part == part] for part in (0, 1))
    assert [(w.start, w.sequence_ids.count(0)) for w in short] == [(w.start, w.sequence_ids.count(0)) for w in long]
