"""A target of a mask is scored as a word or as the rest of one, and the answer names its piece."""

from __future__ import annotations

import math
from typing import Any

import pytest

from functions.tokenizers.tokenizer import TargetIds, Tokenizer, target_ids
from shared.catalog import Model
from shared.errors import Unprocessable
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.task_requests import infer_rows, run_request, tokenize_request

WORD, REST = "▁a", "a"  # both are pieces of the tiny vocabulary


def guesses(model: Model, tokenizer: Tokenizer, text: str, **parameters: Any) -> Any:
    """Return the guesses for the masks of a text. The logit of the target at place i is -i; other ids have 0, 1, …."""
    found = tokenize_request(model, tokenizer, "fill-mask", text, **parameters)
    n_targets = len(found.target_ids)

    def numbers(ids: Any) -> dict[str, list[float]]:
        del ids
        if n_targets:
            return {"target_logits": [-float(i) for i in range(n_targets)], "log_sum_exp": [0.0]}
        return {"top_ids": [model.vocab_size - 1.0, 5.0], "top_logits": [2.0, 1.0], "log_sum_exp": [2.5]}

    body = valid_body("fill-mask", text, **parameters)
    [value] = run_request(model, tokenizer, body, "fill-mask", infer_rows(numbers)).values
    return value


@pytest.mark.parametrize(
    ("text", "piece"),
    [("all <mask> x", WORD), ("<mask> x", WORD), ("all\n<mask>", WORD), ("b<mask> x", REST), ("(<mask>", REST)],
)
def test_a_plain_word_is_scored_as_a_word_where_one_begins(
    model: Model, tokenizer: Tokenizer, text: str, piece: str
) -> None:
    """After a space the target is the piece of a word, after a letter the piece of its rest. `piece` says which."""
    [found] = guesses(model, tokenizer, text, targets=["a"])
    assert (found["piece"], found["token"]) == (piece, tokenizer.id_of(piece))
    assert found["token_str"] == "a"


def test_a_word_and_its_piece_are_one_target(model: Model, tokenizer: Tokenizer) -> None:
    """A target with the sign of a word is that piece anywhere; two names of one piece give one guess."""
    assert [found["piece"] for found in guesses(model, tokenizer, "b <mask>", targets=["a", "▁a"])] == [WORD]
    assert [found["piece"] for found in guesses(model, tokenizer, "b<mask>", targets=["a", "▁a"])] == [WORD, REST]


def test_a_target_that_is_no_piece_stands_for_its_first(tokenizer: Tokenizer) -> None:
    """Unknown words are read as text is, and what reads as nothing has no ids."""
    first = tokenizer.encode("qqqq").ids[0]
    assert target_ids(tokenizer, "qqqq") == TargetIds(first, first)
    assert target_ids(tokenizer, "\u200b") is None
    assert target_ids(tokenizer, WORD) == TargetIds(tokenizer.id_of(WORD) or 0, tokenizer.id_of(WORD) or 0)


def test_guesses_beyond_the_tokenizer_have_no_text(model: Model, tokenizer: Tokenizer) -> None:
    """A model with more rows than pieces may guess such a row. Its text is empty, and nothing fails."""
    large = model.model_copy(update={"vocab_size": tokenizer.vocab_size + 48})
    best, second = guesses(large, tokenizer, "b <mask>")
    assert (best["token"], best["token_str"], best["sequence"]) == (tokenizer.vocab_size + 47, "", "b")
    assert second["token_str"] != ""
    assert best["score"] == pytest.approx(math.exp(-0.5))


def test_the_mask_of_another_model_is_no_mask(model: Model, tokenizer: Tokenizer) -> None:
    """BERT's [MASK] is plain text here; the refusal names the mask of the model."""
    with pytest.raises(Unprocessable, match=r"got a text without a mask, expected at least one <mask>"):
        tokenize_request(model, tokenizer, "fill-mask", "the [MASK] rises")
