"""Ids of XLM equal those of the reference on every string and in every language. Offsets follow our own rules."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.xlm.artifact import FORMAT, Artifact
from functions.tokenizers.xlm.tokenizer import XlmTokenizer
from glossa.tokenizer_build.checkpoints import artifact_of
from tests.unit.functions.tokenizers import tiny_xlm
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS, anything, mixed

Pair = tuple[XlmTokenizer, Any]
# no language, an unknown one, and every language with rules of its own
LANGS = (None, "en", "fr", "it", "de", "cs", "ro", "ko", "fi", "xx", "", "zh", "th")
DATA_LANGS = {
    "eng_Latn": "en",
    "fra_Latn": "fr",
    "ron_Latn": "ro",
    "zho_Hans": "zh",
    "tha_Thai": "th",
    "deu_Latn": "de",
}
languages = st.sampled_from(LANGS)


@pytest.fixture(scope="module", params=["lowercase", "as it is"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Train a tokenizer and load it twice: ours from its artifact, and that of transformers from its files."""
    folder = tmp_path_factory.mktemp("xlm")
    tiny_xlm.write_tokenizer(folder, lowercase=request.param == "lowercase")
    ours = read_tokenizer(artifact_of(folder))
    assert isinstance(ours, XlmTokenizer)
    return ours, tiny_xlm.load_reference(folder)


def assert_ids_equal(pair: Pair, text: str, lang: str | None) -> None:
    """Check that the ids of a text equal those of the reference, and that its spans are in order and in the text."""
    ours, reference = pair
    encoded = ours.encode(text, lang)
    assert list(encoded.ids) == tiny_xlm.reference_ids(reference, text, lang), (text, lang)
    assert len(encoded.ids) == len(encoded.offsets) == len(encoded.word_starts)
    starts, ends = [start for start, _ in encoded.offsets], [end for _, end in encoded.offsets]
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    assert all(0 <= start <= end <= len(text) for start, end in encoded.offsets)


@pytest.mark.parametrize("lang", LANGS)
def test_equals_the_reference_on_hostile_text(pair: Pair, lang: str | None) -> None:
    """The texts have special tokens, lone marks, emoji, bidi controls, long words and every block of Unicode."""
    for text in [*AWKWARD, *BLOCKS]:
        assert_ids_equal(pair, text, lang)


def test_equals_the_reference_in_every_language_of_the_sample(pair: Pair) -> None:
    """Two sentences in 205 languages are read as English and as their own language."""
    for name, _, text in tiny_xlm.SAMPLE:
        assert_ids_equal(pair, text, None)
        assert_ids_equal(pair, text, DATA_LANGS.get(name, "xx"))


@settings(max_examples=200, deadline=None)
@given(text=anything | mixed, lang=languages)
def test_equals_the_reference_on_any_text(pair: Pair, text: str, lang: str | None) -> None:
    """The texts are arbitrary Unicode, with any language."""
    assert_ids_equal(pair, text, lang)


@settings(max_examples=60, deadline=None)
@given(text=mixed)
def test_pre_split_words_stay_as_they_are(pair: Pair, text: str) -> None:
    """Pre-split text gets only byte pair encoding, as with `bypass_tokenizer` of the reference."""
    ours, reference = pair
    found = list(ours.encode(text, pre_split=True).ids)
    assert found == tiny_xlm.reference_ids(reference, text, pre_split=True)


@settings(max_examples=40, deadline=None)
@given(first=mixed, second=mixed)
def test_pairs_equal_the_reference(pair: Pair, first: str, second: str) -> None:
    """A pair is `<s> A </s> B </s>` with types 0 and 1, as in the reference."""
    ours, reference = pair
    layout, a, b = ours.layout, ours.encode(first).ids, ours.encode(second).ids
    expected = reference(first, second, return_token_type_ids=True)
    assert [*layout.first, *a, *layout.middle, *b, *layout.last] == expected["input_ids"]
    n_first = len(layout.first) + len(a) + len(layout.middle)
    n_second = len(b) + len(layout.last)
    assert [0] * n_first + [layout.pair_type] * n_second == expected["token_type_ids"]


def test_decoded_text_equals_the_reference(pair: Pair) -> None:
    """Pieces, joined pieces and decoded ids equal those of the reference."""
    ours, reference = pair
    for text in [*(text for _, _, text in tiny_xlm.SAMPLE[::20]), "a <special1> b</s> \u0e01 x"]:
        ids = [*ours.layout.first, *ours.encode(text).ids, *ours.layout.last]
        pieces = ours.pieces(ids)
        assert pieces == reference.convert_ids_to_tokens(ids)
        assert ours.join(pieces) == reference.convert_tokens_to_string(pieces)
        assert ours.decode(ids) == reference.decode(ids)
        assert ours.decode(ids, skip_special=True) == reference.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("lang", ["en", "fr", "ro", "zh"])
def test_the_text_of_a_span_reads_as_its_piece(pair: Pair, lang: str) -> None:
    """In ordinary text, the text of a span reads as its piece, and every visible character is in a span."""
    ours, reference = pair
    lowercase = reference.do_lowercase_and_remove_accent
    for _, _, text in tiny_xlm.SAMPLE:
        encoded = ours.encode(text, lang)
        covered: set[int] = set()
        for (start, end), i in zip(encoded.offsets, encoded.ids, strict=True):
            assert start < end
            covered.update(range(start, end))
            piece = ours.pieces([i])[0].removesuffix("</w>")
            if i != ours.unk_id and piece.isalpha() and not _is_hangul(text[start:end]):
                assert _read(text[start:end], lowercase=lowercase, lang=lang) == piece
        dropped = {i for i, char in enumerate(text) if char.isspace() or unicodedata.category(char)[0] == "C"}
        assert set(range(len(text))) - covered <= dropped


def test_words_begin_where_moses_splits(pair: Pair) -> None:
    """The first piece of each word or punctuation mark begins a word, and so does an added token."""
    ours, _ = pair
    encoded = ours.encode("Photons aren't <special1>small!")
    words = [text for text, start in zip(ours.pieces(encoded.ids), encoded.word_starts, strict=True) if start]
    assert len(words) == 6  # photons, aren, 't, <special1>, small, !
    assert words[3] == "<special1>"
    assert words[-1] == "!</w>"


def test_offsets_of_what_moses_changes(pair: Pair) -> None:
    """Where Moses replaces, drops or swaps characters, spans still cover the characters that they come from."""
    ours, reference = pair
    text = "\u201eNo\u201c\u2026 \u00abx\u00bb a\u200db e\u0301t\u00e9,\" '' 5\u00a05"
    encoded = ours.encode(text, "en")
    assert list(encoded.ids) == tiny_xlm.reference_ids(reference, text, "en")
    slices = [text[start:end] for start, end in encoded.offsets]
    assert slices[0] == "\u201e"
    assert "\u2026" in slices
    assert all(slices)
    whole = {start for start, _ in encoded.offsets}
    assert text.index("\u00ab") in whole
    assert text.index("''") in whole
    if reference.do_lowercase_and_remove_accent:
        assert any(piece.endswith("\u0301") for piece in slices)  # a span includes the accent that was removed


def test_an_invalid_artifact_is_refused(pair: Pair) -> None:
    """Broken bytes, a vocabulary without the unknown piece, and ids outside the vocabulary are refused by name."""
    with pytest.raises(ValueError, match="cannot be read: vocab"):
        XlmTokenizer(b'{"format":"glossa-xlm-1","bos":0,"sep":1,"unk":"<unk>","merges":[]}')
    lacking = Artifact(format=FORMAT, bos=0, sep=1, unk="<unk>", vocab={"a": 0}, merges=())
    with pytest.raises(ValueError, match="'<unk>' is not in its vocabulary"):
        XlmTokenizer(lacking.to_bytes())
    for bad in (-1, pair[0].vocab_size):
        with pytest.raises(ValueError, match="not below"):
            pair[0].pieces([bad])


def test_equal_tokenizers_have_equal_artifacts(tmp_path: Path) -> None:
    """The order of vocab.json does not matter, and an artifact that is read and written keeps its bytes."""
    tiny_xlm.write_tokenizer(tmp_path)
    made = artifact_of(tmp_path)
    vocab = (tmp_path / "vocab.json").read_text(encoding="utf-8")
    backwards = json.dumps(dict(reversed(json.loads(vocab).items())))
    (tmp_path / "vocab.json").write_text(backwards, encoding="utf-8")
    assert artifact_of(tmp_path) == made
    assert Artifact.model_validate_json(made).to_bytes() == made


def _read(text: str, *, lowercase: bool, lang: str) -> str:
    """Return the text of a span as the vocabulary writes it."""
    if lang == "ro":
        text = text.translate(str.maketrans("\u0218\u0219\u021a\u021b\u015e\u015f\u0162\u0163", "SsTtSsTt"))
        text = text.translate(str.maketrans("\u0102\u0103\u00c2\u00e2\u00ce\u00ee", "AaAaIi"))
    text = "".join(char for char in text if unicodedata.category(char)[0] != "C")
    if not lowercase:
        return text
    apart = unicodedata.normalize("NFD", text.lower().replace("\u03c2", "\u03c3"))
    return "".join(char for char in apart if unicodedata.category(char) != "Mn").lower()


def _is_hangul(text: str) -> bool:
    return any("HANGUL" in unicodedata.name(char, "") for char in text)
