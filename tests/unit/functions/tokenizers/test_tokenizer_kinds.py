"""Every kind of file that XLM-RoBERTa and XLM-V checkpoints carry gives the reference's ids on hostile text."""

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
from tests.unit.functions.conftest import MINI
from tests.unit.functions.tokenizers.hostile import AWKWARD, BLOCKS, anything, mixed
from tests.unit.functions.tokenizers.tiny_xlm import SAMPLE

Kind = tuple[Tokenizer, Any]
CONFIG = '{"model_type": "xlm-roberta"}'


def json_only(folder: Path) -> None:
    """Leave a checkpoint with `tokenizer.json`."""
    shutil.copy(MINI / "tokenizer.json", folder)


def sentencepiece_only(folder: Path) -> None:
    """Leave a checkpoint with the older `sentencepiece.bpe.model`, of the same vocabulary."""
    shutil.copy(MINI / "sentencepiece.bpe.model", folder)


def like_xlm_v(folder: Path) -> None:
    """Make a vocabulary as XLM-V's: whole words of many languages, put together, with scores in no order."""
    mini = transformers.AutoTokenizer.from_pretrained(str(MINI))
    words = {f"\u2581{word}" for _, _, text in SAMPLE for word in text.split()} - set(mini.get_vocab())
    draw = random.Random(7)
    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
    pieces = [(piece, draw.uniform(-14, -4)) for piece in sorted({*mini.get_vocab(), *words} - set(special))]
    draw.shuffle(pieces)
    vocab = [(piece, 0.0) for piece in special[:4]] + pieces + [("<mask>", 0.0)]
    made = transformers.XLMRobertaTokenizer(vocab=vocab)
    made.backend_tokenizer.normalizer = mini.backend_tokenizer.normalizer
    made.save_pretrained(str(folder))


@pytest.fixture(scope="module", params=[json_only, sentencepiece_only, like_xlm_v], ids=lambda kind: str(kind.__name__))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """Load one kind of checkpoint twice: ours, from its artifact, and transformers' reading of the folder."""
    folder = tmp_path_factory.mktemp("kind")
    request.param(folder)
    (folder / "config.json").write_text(CONFIG, encoding="utf-8")
    return read_tokenizer(artifact_of(folder)), transformers.AutoTokenizer.from_pretrained(str(folder))


def assert_ids_equal(kind: Kind, texts: list[str]) -> None:
    """Ids of the texts are the reference's, and words begin where its pre-tokenizer cuts."""
    ours, reference = kind
    wanted = reference(texts, add_special_tokens=False)
    for i, text in enumerate(texts):
        found = ours.encode(text)
        assert list(found.ids) == wanted["input_ids"][i], text
        words = wanted.word_ids(i)
        assert found.word_starts == tuple(a != b for a, b in zip(words, [None, *words], strict=False)), text


def test_hostile_text(kind: Kind) -> None:
    """Special tokens in the text, lone marks, emoji, bidi controls, endless words, every block of Unicode."""
    assert_ids_equal(kind, [*AWKWARD, *BLOCKS])


def test_every_language_of_the_sample(kind: Kind) -> None:
    """Two sentences in 205 languages."""
    assert_ids_equal(kind, [text for _, _, text in SAMPLE])


def test_equally_good_ways_through_a_word(kind: Kind) -> None:
    """Of ways that score the same to the last bit the reference's is taken."""
    runs = [character * n for character in "02a\u00e9\u4e00" for n in range(2, 9)]
    assert_ids_equal(kind, ["0\u00ab222", "\U0001f601" * 5 + "\U0001f602" * 5, *runs])


@settings(max_examples=150, deadline=None)
@given(text=anything | mixed)
def test_any_text(kind: Kind, text: str) -> None:
    """Arbitrary Unicode."""
    assert_ids_equal(kind, [text])


def test_what_the_kinds_are(kind: Kind) -> None:
    """Each has the mask, the unknown piece and the layout of the family, whatever file it came from."""
    ours, reference = kind
    assert (ours.mask_token, ours.id_of("<mask>")) == ("<mask>", reference.mask_token_id)
    assert ours.unk_id == reference.unk_token_id
    assert (ours.layout.first, ours.layout.middle, ours.layout.last) == ((0,), (2, 2), (2,))
    assert ours.vocab_size == len(reference)
    assert list(ours.encode("\uff21\ufb01n").ids) == list(ours.encode("Afin").ids)  # all normalize by NFKC
