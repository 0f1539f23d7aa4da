"""Under every rule of public checkpoints, spans hold no white space at their ends and ids are those of the library."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.tokenizers.unigram import JsonTokenizer
from tests.unit.functions.tokenizers import forms
from tests.unit.functions.tokenizers.forms import HARD, METASPACE, ONE_SPACE, PUNCTUATION, SPLIT, STRIP
from tests.unit.functions.tokenizers.hostile import AWKWARD, anything, mixed

WIDE_MASK = forms.rules()
WIDE_MASK["added_tokens"][-1] |= {"lstrip": True, "rstrip": True}
KINDS: dict[str, dict[str, Any]] = {
    "of XLM-R": forms.rules(),
    "of e5": forms.like_e5(),
    "metaspace": forms.rules(pre_tokenizer=METASPACE),
    "strip": forms.rules(normalizer=forms.normalizers(STRIP, after=(ONE_SPACE,)), pre_tokenizer=METASPACE),
    "punctuation": forms.rules(pre_tokenizer=forms.split(SPLIT, PUNCTUATION, METASPACE)),
    "metaspace, then punctuation": forms.rules(pre_tokenizer=forms.split(METASPACE, PUNCTUATION)),
    "wide mask": WIDE_MASK,
    "no normalizer": forms.rules(normalizer=None, pre_tokenizer=METASPACE),
}
_PARTS = [*" \u00a0\u3000\n\t\u200b\u200c\ufeff\x0b\x1f\x85\u0301\u2581ae.\u4e16", "<mask>", "</s>", "ﬁ", "ﷺ"]
spaces = st.lists(st.sampled_from(_PARTS), max_size=14).map("".join)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> JsonTokenizer:
    """Load the tokenizer of one kind of rules."""
    return JsonTokenizer(json.dumps(KINDS[request.param]).encode())


def assert_spans(tokenizer: JsonTokenizer, text: str) -> None:
    """Check the ids, and that spans are in the text, in order, and begin and end with no white space."""
    found = tokenizer.encode(text)
    assert list(found.ids) == tokenizer.backend.encode(text, add_special_tokens=False).ids
    before = (0, 0)
    for start, end in found.offsets:
        assert 0 <= start <= end <= len(text)
        assert before[0] <= start
        assert before[1] <= end
        assert text[start:end] == text[start:end].strip()
        before = (start, end)


def test_hard_texts(tokenizer: JsonTokenizer) -> None:
    """The texts have spaces of all kinds at their ends, between words and beside special tokens."""
    for text in (*HARD, *AWKWARD):
        assert_spans(tokenizer, text)


@settings(max_examples=120, deadline=None)
@given(text=spaces | anything | mixed)
@example(text="hello ")
@example(text="x </s> y<s>")
@example(text="\u200b\u200b")
def test_any_text(tokenizer: JsonTokenizer, text: str) -> None:
    """The texts are arbitrary Unicode, and sequences of spaces, words and special tokens."""
    assert_spans(tokenizer, text)


@pytest.mark.parametrize("kind", ["of XLM-R", "of e5", "metaspace", "strip"])
def test_a_span_is_its_word(kind: str) -> None:
    """A token of a word after spaces begins at the word, whatever space stands before it."""
    tokenizer = JsonTokenizer(json.dumps(KINDS[kind]).encode())
    for space in (" ", "  ", "\u00a0", "\u3000", "\n", "\u200b"):
        text = f"{space}the{space}in{space}"
        found = tokenizer.encode(text)
        words = [text[start:end] for start, end in found.offsets if end > start]
        assert "".join(words) == "thein", (kind, space)
        assert not any(unicodedata.category(word[0]).startswith("Z") for word in words)
