"""A request whose answer would be too large is refused before the model is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.messages import TextInput, Tokenized
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import TooLarge
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.pipeline.packing import pack, window
from tests.unit.functions.task_requests import run_request


def test_guesses_are_bounded() -> None:
    """Too many guesses, counted as masks times guesses of each, are a 413."""
    request = TextRequest("fill-mask", (TextInput("a"),), parse_parameters("fill-mask", {"top_k": 1000}))
    with pytest.raises(TooLarge, match="got 101 masks that ask for 101000 guesses, at most 100000"):
        pack(Tokenized((window(101, tuple(range(101))),), "", (False,)), request)


def test_texts_with_guesses_in_them_are_bounded() -> None:
    """Each guess is returned with its whole text, so many guesses in long texts are a 413."""
    request = TextRequest("fill-mask", (TextInput("a"),), parse_parameters("fill-mask", {"top_k": 1000}))
    with pytest.raises(TooLarge, match="texts of 5120000 tokens together, at most 5000000"):
        pack(Tokenized((window(512, tuple(range(10))),), "", (False,)), request)
    few = Tokenized((window(512, tuple(range(10))),), "", (False,), target_ids=(1, 2))
    assert pack(few, request)


def test_vectors_of_tokens_are_bounded() -> None:
    """Vectors for too many single tokens are a 413. One vector for each text is allowed."""
    tokenized = Tokenized(tuple(window(512) for _ in range(17)), "", (False,))
    request = TextRequest(
        "feature-extraction", (TextInput("a"),), parse_parameters("feature-extraction", {"per_token": True})
    )
    with pytest.raises(TooLarge, match="got 8704 tokens that ask for a vector each, at most 8192"):
        pack(tokenized, request)
    assert pack(tokenized, replace(request, parameters=parse_parameters("feature-extraction", None)))


def test_attentions_are_bounded() -> None:
    """The attention of too many pairs of tokens is a 413. A text of 128 tokens is allowed."""
    request = TextRequest(
        "feature-extraction", (TextInput("a"),), parse_parameters("feature-extraction", {"attentions": True})
    )
    with pytest.raises(TooLarge, match="got 16641 pairs of tokens that ask for attention, at most 16384"):
        pack(Tokenized((window(129),), "", (False,)), request)
    assert pack(Tokenized((window(128),), "", (False,)), request)


def test_new_tokens_are_bounded(model: Model, tokenizer: Tokenizer) -> None:
    """The new tokens of all prompts of a request together have a limit."""
    body = valid_body("text-generation", ["a"] * 300, max_new_tokens=16, do_sample=True, num_return_sequences=16)
    with pytest.raises(TooLarge, match="got 300 prompts that ask for up to 76800 new tokens, at most 65536"):
        run_request(model, tokenizer, body, "text-generation", None)
