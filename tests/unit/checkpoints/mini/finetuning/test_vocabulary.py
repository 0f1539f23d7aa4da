"""The pieces that stay, and those that are added for scripts that e5 lacks."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from checkpoints.mini.finetuning import vocabulary

PIECES = ["▁", "a", "b", "▁ab", "ab", "▁ba", "ღ", "q"]
SCORES = [-2.0, -3.0, -3.0, -4.0, -5.0, -9.0, -30.0, -30.0]


@pytest.fixture
def source() -> dict[str, Any]:
    """Make a tokenizer file of e5's form with eight pieces."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [[piece, 0.0] for piece in specials] + [list(pair) for pair in zip(PIECES, SCORES, strict=True)]
    mask = len(words)
    tokens = [*((n, piece) for n, piece in enumerate(specials)), (mask, "<mask>")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": n, "content": piece, **flags} for n, piece in tokens],
        "normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": None, "decoder": None,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [*words, ["<mask>", 0.0]]},
    }  # fmt: skip


def counts(tokenizer: Tokenizer, *texts: str) -> list[vocabulary.Counts]:
    """Count the pieces of each text."""
    return [vocabulary.count(tokenizer, [text], len(PIECES) + 5) for text in texts]


def test_frequent_pieces_and_seen_characters_stay(source: dict[str, Any]) -> None:
    """A rare character stays because a text has it; another goes, and so does the rarest word."""
    tokenizer = Tokenizer.from_str(json.dumps(source))
    kept = vocabulary.choose(source, counts(tokenizer, "ab ab", "ღ"), 6)
    assert [source["model"]["vocab"][n][0] for n in kept] == ["▁", "a", "b", "▁ab", "ab", "ღ"]


def test_too_few_pieces_are_refused(source: dict[str, Any]) -> None:
    """The characters need their places."""
    with pytest.raises(ValueError, match="got 2 pieces, expected at least the 3 single characters"):
        vocabulary.choose(source, [np.zeros(len(PIECES) + 5, np.int64)], 2)


def test_a_missing_character_gets_a_piece(source: dict[str, Any]) -> None:
    """Five times are enough, four are not; a known character gets none."""
    tokenizer = Tokenizer.from_str(json.dumps(source))
    added = vocabulary.added(tokenizer, set(PIECES), ["a ⴰⴰ ⴱ"] * 2 + ["ⴰ ⴱ"] * 2 + ["b"] * 9)
    assert [piece for piece, _ in added] == ["ⴰ"]


def test_a_missing_script_gets_pieces_of_its_words(source: dict[str, Any]) -> None:
    """Words of several characters are among them."""
    tokenizer = Tokenizer.from_str(json.dumps(source))
    added = vocabulary.added(tokenizer, set(PIECES), ["ⴰⵣⵓⵍ ⵎⴰⵎⴽ", "ⵎⴰⵎⴽ ⴰⵣⵓⵍ ⵉⵙ", "ⵉⵙ ⵎⴰⵎⴽ"] * 20, min_script=50)
    assert any(len(piece.strip("▁")) > 1 for piece, _ in added)


def test_the_mask_is_last_and_new_pieces_are_read(source: dict[str, Any]) -> None:
    """The file has the layout of XLM-R."""
    chosen = vocabulary.Vocabulary((4, 5, 6), (("ⴰ", -4.0),))
    tokenizer = Tokenizer.from_str(json.dumps(vocabulary.tokenizer_json(source, chosen)))
    assert tokenizer.encode("a<mask> ⴰ").tokens == ["▁", "a", "<mask>", "▁", "ⴰ"]
    assert tokenizer.token_to_id("<mask>") == len(chosen) - 1
    assert math.isclose(dict(map(tuple, json.loads(tokenizer.to_str())["model"]["vocab"]))["ⴰ"], -4.0)
