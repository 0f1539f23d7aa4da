"""Every kind of tokenizer file in XLM-RoBERTa and XLM-V checkpoints gives the ids of the reference."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given, settings

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.tokenizer_build.checkpoints import artifact_of
from tests.data import XLMR_TOKENIZER
from tests.unit.functions.conftest import MINI
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS, anything, mixed
from tests.unit.functions.tokenizers.tiny_xlm import SAMPLE

Kind = tuple[Tokenizer, Any]
CONFIG = '{"model_type": "xlm-roberta"}'


def json_only(folder: Path) -> None:
    """Write a checkpoint with `tokenizer.json` only."""
    shutil.copy(XLMR_TOKENIZER / "tokenizer.json", folder)


def shipped(folder: Path) -> None:
    """Write the tokenizer of the model that ships."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MINI / name, folder)


def sentencepiece_only(folder: Path) -> None:
    """Write a checkpoint with only the older `sentencepiece.bpe.model`, of the same vocabulary."""
    shutil.copy(XLMR_TOKENIZER / "sentencepiece.bpe.model", folder)


def like_xlm_v(folder: Path) -> None:
    """Write a vocabulary like that of XLM-V: whole words of many languages, with unsorted scores."""
    base = transformers.AutoTokenizer.from_pretrained(str(XLMR_TOKENIZER))
    words = {f"\u2581{word}" for _, _, text in SAMPLE for word in text.split()} - set(base.get_vocab())
    draw = random.Random(7)
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    pieces = [(piece, draw.uniform(-14, -4)) for piece in sorted({*base.get_vocab(), *words} - set(special))]
    draw.shuffle(pieces)
    vocab = [(piece, 0.0) for piece in special[:4]] + pieces + [("<mask>", 0.0)]
    made = transformers.XLMRobertaTokenizer(vocab=vocab)
    made.backend_tokenizer.normalizer = base.backend_tokenizer.normalizer
    made.save_pretrained(str(folder))


@pytest.fixture(
    scope="module", params=[json_only, shipped, sentencepiece_only, like_xlm_v], ids=lambda kind: str(kind.__name__)
)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """Load one kind of checkpoint twice: our tokenizer from its artifact, and that of transformers from the folder."""
    folder = tmp_path_factory.mktemp("kind")
    request.param(folder)
    (folder / "config.json").write_text(CONFIG, encoding="utf-8")
    return read_tokenizer(artifact_of(folder)), transformers.AutoTokenizer.from_pretrained(str(folder))


def assert_ids_equal(kind: Kind, texts: list[str]) -> None:
    """Check that ids equal those of the reference, and that words begin where its pre-tokenizer splits."""
    ours, reference = kind
    wanted = reference(texts, add_special_tokens=False)
    for i, text in enumerate(texts):
        found = ours.encode(text)
        assert list(found.ids) == wanted["input_ids"][i], text
        words = wanted.word_ids(i)
        assert found.word_starts == tuple(a != b for a, b in zip(words, [None, *words], strict=False)), text


def test_hostile_text(kind: Kind) -> None:
    """The texts have special tokens, lone marks, emoji, bidi controls, long words and every block of Unicode."""
    assert_ids_equal(kind, [*AWKWARD, *BLOCKS])


def test_every_language_of_the_sample(kind: Kind) -> None:
    """The texts are two sentences in each of 205 languages."""
    assert_ids_equal(kind, [text for _, _, text in SAMPLE])


def test_splits_of_a_word_with_equal_scores(kind: Kind) -> None:
    """Of several splits with exactly equal scores, the one of the reference is chosen."""
    runs = [character * n for character in "02a\u00e9\u4e00" for n in range(2, 9)]
    assert_ids_equal(kind, ["0\u00ab222", "\U0001f601" * 5 + "\U0001f602" * 5, *runs])


@settings(max_examples=150, deadline=None)
@given(text=anything | mixed)
def test_any_text(kind: Kind, text: str) -> None:
    """The texts are arbitrary Unicode."""
    assert_ids_equal(kind, [text])


def test_every_kind_has_the_facts_of_the_family(kind: Kind) -> None:
    """Every kind of file gives the mask token, the unknown piece and the layout of the family."""
    ours, reference = kind
    assert (ours.mask_token, ours.id_of("<mask>")) == ("<mask>", reference.mask_token_id)
    assert ours.unk_id == reference.unk_token_id
    assert (ours.layout.first, ours.layout.middle, ours.layout.last) == ((0,), (2, 2), (2,))
    assert ours.vocab_size == len(reference)
    assert list(ours.encode("\uff21\ufb01n").ids) == list(ours.encode("Afin").ids)  # all kinds normalize by NFKC
