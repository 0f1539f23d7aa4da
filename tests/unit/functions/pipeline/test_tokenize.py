"""Texts become windows that fit the model. Each text is tokenized once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.messages import TextInput
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import Unprocessable
from tests.unit.functions.task_requests import LONG, tokenize_inputs, tokenize_request, with_languages
from tests.unit.functions.tokenizers.tiny import SENTENCES


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "feature-extraction"])
def test_windows_hold_the_tokens_of_the_whole_text(task: str, model: Model, tokenizer: Tokenizer) -> None:
    """Windows, put in place by `start`, give the ids and offsets of the text tokenized as a whole."""
    whole = tokenizer.encode(LONG)
    tokenized = tokenize_inputs(task, TextInput(LONG), model=model, tokenizer=tokenizer)
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


@settings(max_examples=40, deadline=None)
@given(places=st.sets(st.integers(0, len(SENTENCES)), min_size=1, max_size=6))
def test_every_mask_is_read_once(places: set[int], model: Model, tokenizer: Tokenizer) -> None:
    """Each mask of a long text is a position of exactly one window."""
    words = list(SENTENCES)
    for place in sorted(places, reverse=True):
        words.insert(place, "<mask>")
    tokenized = tokenize_inputs("fill-mask", TextInput(" ".join(words)), model=model, tokenizer=tokenizer)
    positions = [window.start + place - 1 for window in tokenized.windows for place in window.positions]
    whole = tokenizer.encode(" ".join(words)).ids
    assert positions == [i for i, token in enumerate(whole) if token == model.mask_id]
    assert all(len(window.input_ids) == model.max_tokens for window in tokenized.windows)
    assert tokenized.truncated == (True,)


def test_a_mask_may_be_written_in_two_ways(model: Model, tokenizer: Tokenizer) -> None:
    """`<mask>` and the model's own mask token mean the same."""
    own = model.model_copy(update={"mask_token": "</s>", "mask_id": 2})
    for text in ("a <mask> b", "a</s> b"):
        [window] = tokenize_inputs("fill-mask", TextInput(text), model=own, tokenizer=tokenizer).windows
        assert [window.input_ids[place] for place in window.positions] == [2]


def test_what_a_task_cannot_take_is_named(model: Model, tokenizer: Tokenizer) -> None:
    """No mask, too many masks, and a text without tokens are each a 422."""
    for text, message in [
        ("no mask", r"inputs\[0\]: got a text without a mask, expected at least one <mask>"),
        ("<mask>" * 65, "got 65 masks, expected at most 64"),
        ("\u200b", r"inputs\[0\]: got a text of 1 character that reads as nothing"),
    ]:
        with pytest.raises(Unprocessable, match=message):
            tokenize_inputs("fill-mask", TextInput(text), model=model, tokenizer=tokenizer)
    blind = model.model_copy(update={"mask_id": None})
    with pytest.raises(Unprocessable, match="has no mask token"):
        tokenize_inputs("fill-mask", TextInput("<mask>"), model=blind, tokenizer=tokenizer)
    with pytest.raises(Unprocessable, match=r"targets: got '\\u200b'"):
        tokenize_inputs("fill-mask", TextInput("<mask>"), model=model, tokenizer=tokenizer, targets=("\u200b",))


def test_a_bad_input_leaves_the_others_alone(model: Model, tokenizer: Tokenizer) -> None:
    """A bad input is reported by its index in the request. The rows of the others are numbered without it."""
    task, inputs = "text-classification", (TextInput("a"), TextInput("\u200b"), TextInput("b"))
    tokenized = tokenize(TextRequest(task, inputs, parse_parameters(task, None)), model, tokenizer)
    errors = tokenized.errors
    assert [window.input_index for window in tokenized.windows] == [0, 1]
    assert list(errors) == [1]
    assert "inputs[1]" in errors[1].message
    with pytest.raises(Unprocessable, match=r"inputs\[1\]"):
        tokenize_inputs(task, *inputs, model=model, tokenizer=tokenizer)


def test_a_pair_says_which_text_each_token_is_of(model: Model, tokenizer: Tokenizer) -> None:
    """`sequence_ids` tell the text of each token and are -1 for special tokens. Each token has a word start flag."""
    [window] = tokenize_request(model, tokenizer, "question-answering").windows
    assert set(window.sequence_ids) == {-1, 0, 1}
    assert [side == -1 for side in window.sequence_ids] == list(window.special)
    assert len(window.word_starts) == len(window.input_ids)
    assert window.word_starts[window.sequence_ids.index(1)]
    assert window.token_type_ids is None


def test_an_unknown_language_is_named(model: Model, tokenizer: Tokenizer) -> None:
    """A language that the checkpoint does not list is a 422 with those that it lists; none is a guess."""
    for inputs, lang in (
        ({"text": "a", "lang": "xx"}, "xx"),
        ({"text": "a", "text_pair": "b", "lang": ["en", "q"]}, "q"),
    ):
        with pytest.raises(Unprocessable, match=rf"lang: got '{lang}', expected one of en, fr"):
            tokenize_request(with_languages(model), tokenizer, "text-classification", inputs)


def test_each_token_has_its_language(model: Model, tokenizer: Tokenizer) -> None:
    """Each token has the language id of its text. With `position_reset`, positions start again at the second text."""
    pair = {"text": "a b", "text_pair": "c d", "lang": ["en", "fr"]}
    [window] = tokenize_request(
        with_languages(model), tokenizer, "text-classification", pair, position_reset=True
    ).windows
    border = window.sequence_ids.index(1)
    assert window.lang_ids == (4,) * border + (7,) * (len(window.input_ids) - border)
    assert window.position_ids == (*range(border), *range(len(window.input_ids) - border))
    [window] = tokenize_request(with_languages(model), tokenizer, "text-classification", pair | {"lang": "fr"}).windows
    assert window.lang_ids == (7,) * len(window.input_ids)
    assert window.position_ids is None


def test_languages_are_for_models_that_read_them(model: Model, tokenizer: Tokenizer) -> None:
    """A model without language ids refuses `lang` and `position_reset`."""
    with pytest.raises(
        Unprocessable, match=r"inputs\[0\].lang: got 'en', expected none: model tiny reads no languages"
    ):
        tokenize_request(model, tokenizer, "text-classification", {"text": "a", "lang": "en"})
    with pytest.raises(
        Unprocessable, match="position_reset: got true, expected false: model tiny is of family xlm-rob"
    ):
        tokenize_request(model, tokenizer, "text-classification", {"text": "a", "text_pair": "b"}, position_reset=True)
