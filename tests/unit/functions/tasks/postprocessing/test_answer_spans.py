"""The search for the best answer spans is exact, and spans end where words do."""

from __future__ import annotations

import numpy as np
import pytest

from functions.messages import TokenFacts, Window
from functions.tasks.postprocessing.answer_spans import best_spans, text_span
from functions.tasks.postprocessing.graphemes import Clusters, inside
from functions.tokenizers.load import load_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from tests.data import XLMR_TOKENIZER


@pytest.fixture(scope="module")
def reader() -> Tokenizer:
    """Load a tokenizer whose pieces are those of real vocabularies."""
    return load_tokenizer(XLMR_TOKENIZER / "tokenizer.json")


def spans_in(tokenizer: Tokenizer, text: str) -> set[str]:
    """Return the texts of the spans that single tokens of a text grow to."""
    encoded = tokenizer.encode(text)
    n_tokens = len(encoded.ids)
    facts = TokenFacts(encoded.offsets, (False,) * n_tokens, word_starts=encoded.word_starts)
    window = Window(0, encoded.ids, lambda: facts)
    spans = [text_span(window, Clusters(text), i, i, whole_words=True) for i in range(n_tokens)]
    assert not any(inside(text, place) for span in spans for place in span)
    return {text[start:end] for start, end in spans}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("首都は東京です。", {"首", "都", "は", "東", "京", "です", "。"}),
        ("ออกเดินทางที่กรุงเทพ", {"ที่"}),
        ("ពិភពលោក", {"ពិ"}),
        ("東京Tokyo大学", {"東", "京", "Tokyo", "大学"}),
        ("カﾞスﾎﾟｯﾄ", {"カﾞ", "ﾎﾟ"}),
        ("Donaudampfschifffahrt 1936!", {"Donaudampfschifffahrt", "1936!"}),
        ("서울에서 삽니다", {"서울에서", "삽니다"}),
        ("ในกรุงเทพ abc", {"abc"}),
    ],
)
def test_a_word_ends_where_its_script_says(reader: Tokenizer, text: str, expected: set[str]) -> None:
    """In scripts without spaces a span is whole characters, elsewhere whole words. No span is the first letter alone.

    It reads a space before the first letter as a token of its own, with the span of that letter.
    """
    found = spans_in(reader, text)
    assert expected <= found
    assert text not in found


def test_the_best_spans_are_all_spans_sorted() -> None:
    """The search gives the same spans as sorting all spans of the allowed length."""
    random = np.random.default_rng(0)
    for n, most, wanted in [(1, 1, 1), (5, 2, 3), (30, 7, 12), (40, 40, 50)]:
        start, end = random.dirichlet(np.ones(n)), random.dirichlet(np.ones(n))
        every = [(start[i] * end[j], i, j) for i in range(n) for j in range(i, min(n, i + most))]
        assert best_spans(start.tolist(), end.tolist(), wanted, most) == sorted(every, reverse=True)[:wanted]
