"""The parts of the XLM tokenizer against those of the reference: added tokens, merges, Moses, and linear time."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import sacremoses
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AddedToken, XLMTokenizer
from transformers.models.xlm import tokenization_xlm as theirs
from transformers.tokenization_python import Trie

from functions.tokenizers.xlm import moses, segmenters
from functions.tokenizers.xlm.added_tokens import AddedTokens
from functions.tokenizers.xlm.artifact import Added
from functions.tokenizers.xlm.bpe import Bpe
from functions.tokenizers.xlm.tokenizer import XlmTokenizer
from glossa.tokenizer_build.xlm_artifact import xlm_artifact
from shared.errors import Unprocessable
from tests.unit.functions.tokenizers import tiny_xlm
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS, anything, mixed

LANGS = st.sampled_from(["en", "de", "fr", "it", "cs", "ko", "fi", "xx"])
few = st.text(alphabet="abc", max_size=14)


@settings(max_examples=400, deadline=None)
@given(tokens=st.sets(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=4), text=few)
def test_added_tokens_are_found_as_in_the_reference(tokens: set[str], text: str) -> None:
    """Tokens that overlap or contain each other are found where the trie of the reference finds them."""
    trie = Trie()
    for token in tokens:
        trie.add(token)
    ours = AddedTokens(Added(id=i, content=token) for i, token in enumerate(tokens))
    chunks = ours.split(text)
    assert [chunk.text for chunk in chunks] == trie.split(text)
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


flags = st.fixed_dictionaries(dict.fromkeys(("lstrip", "rstrip", "single_word"), st.booleans()))


@settings(max_examples=150, deadline=None)
@given(added=st.dictionaries(st.text(alphabet="ab<>", min_size=1, max_size=3), flags, max_size=3),
       text=st.text(alphabet="ab<> \n.", max_size=16))  # fmt: skip
def test_flags_of_added_tokens_work_as_in_the_reference(
    xlm: XLMTokenizer, added: dict[str, dict[str, bool]], text: str
) -> None:
    """Tokens that include spaces, or count only as whole words, give the ids of the reference."""
    before = dict(xlm._added_tokens_decoder), dict(xlm._added_tokens_encoder), xlm.tokens_trie
    xlm.tokens_trie = Trie()
    xlm.add_tokens([AddedToken(content, normalized=False, **told) for content, told in added.items()])
    try:
        ours = XlmTokenizer(xlm_artifact(xlm))
        found = ours.encode(text)
        assert list(found.ids) == tiny_xlm.reference_ids(xlm, text)
        assert all(0 <= start <= end <= len(text) for start, end in found.offsets)
    finally:
        xlm._added_tokens_decoder, xlm._added_tokens_encoder, xlm.tokens_trie = before


@pytest.fixture(scope="module")
def xlm(tmp_path_factory: pytest.TempPathFactory) -> XLMTokenizer:
    """Load a tiny tokenizer that keeps case with transformers."""
    return tiny_xlm.load_reference(tiny_xlm.write_tokenizer(tmp_path_factory.mktemp("parts"), lowercase=False))


merges = st.lists(st.tuples(st.text(alphabet="ab", min_size=1, max_size=3), st.sampled_from(
    ["a", "b", "ab", "ba", "aa", "a</w>", "b</w>", "ab</w>"])), max_size=12)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(merges=merges, word=st.text(alphabet="ab ", min_size=1, max_size=24))
def test_merges_have_the_order_of_the_reference(xlm: XLMTokenizer, merges: list[tuple[str, str]], word: str) -> None:
    """Any list of merges gives the pieces of the reference for any word."""
    kept = xlm.bpe_ranks, xlm.cache
    xlm.bpe_ranks, xlm.cache = dict(zip(merges, range(len(merges)), strict=True)), {}
    try:
        expected = xlm.bpe(word).split(" ")
    finally:
        xlm.bpe_ranks, xlm.cache = kept
    assert list(Bpe(" ".join(pair) for pair in merges).pieces(word)) == expected


def test_the_cache_of_words_is_bounded() -> None:
    """The cache has a limit of words, and holds no long words."""
    bpe = Bpe(["a b</w>"])
    for i in range(60_000):
        bpe.pieces(f"w{i}")
    bpe.pieces("x" * 100)
    assert len(bpe._cache) <= 50_000
    assert "x" * 100 not in bpe._cache
    assert bpe.pieces("ab") == ("ab</w>",)


@cache
def library(lang: str) -> tuple[Any, Any]:
    """Make the library's normalizer and splitter of a language once, because some take a second."""
    return sacremoses.MosesPunctNormalizer(lang=lang), sacremoses.MosesTokenizer(lang=lang)


@settings(max_examples=200, deadline=None)
@given(text=anything | mixed | st.text(alphabet=".\",` <'DOTMULI-5\u00a0()", max_size=30), lang=LANGS)
def test_moses_equals_the_library(text: str, lang: str) -> None:
    """The rules with linear time give the result of the library and of the reference."""
    cleaned = moses.clean(text, lang)
    normalizer, splitter = library(lang)
    assert cleaned == theirs.remove_non_printing_char(normalizer.normalize(theirs.replace_unicode_punct(text)))
    assert moses.words(cleaned, lang) == splitter.tokenize(cleaned, escape=False)


@pytest.mark.parametrize("text", [*AWKWARD, *BLOCKS])
def test_moses_equals_the_library_on_hostile_text(text: str) -> None:
    """Hostile strings are tried alone and before a quote, where the library searches again from each dot."""
    for tried in (text, f'..."{text}."<{text}...."'):
        expected = sacremoses.MosesPunctNormalizer(lang="de").normalize(tried)
        assert moses._normalizer("de").normalize(tried) == expected


@pytest.mark.parametrize("run", [".", "DOT", '."', "a.b. ", "'", "<special", "e\u0301", "\x00a"])
def test_long_runs_take_linear_time(xlm: XLMTokenizer, run: str) -> None:
    """A hundred thousand characters that take the library quadratic time are read quickly."""
    ours = XlmTokenizer(xlm_artifact(xlm))
    assert ours.encode(run * (100_000 // len(run)), "de").ids


def test_a_missing_segmenter_says_what_to_do() -> None:
    """Japanese without KyTea is refused as an error of the request, with the way to install it."""
    with pytest.raises(Unprocessable, match='got "ja", expected a language whose segmenter is installed') as caught:
        segmenters.japanese()
    assert "github.com/neubig/kytea" in str(caught.value.hint)
