"""An XLM checkpoint in a folder can be added, with its tokenizer, languages and mask."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from functions.tokenizers.load import load_tokenizers
from glossa.commands.artifacts import write_artifacts
from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from glossa.tokenizer_build.checkpoints import artifact_of, tokenizer_of
from glossa.tokenizer_build.reference import TokenizerError
from shared.catalog import Catalog, load_catalog
from tests.unit.functions.tokenizers import tiny, tiny_xlm


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a random XLM classifier of seven languages and add it to a catalog."""
    root = tmp_path_factory.mktemp("xlm-house")
    folder = root / "models" / "xlm"
    folder.mkdir(parents=True)
    tiny_xlm.write_tokenizer(folder)
    reference = tiny_xlm.load_reference(folder)
    torch.manual_seed(0)
    config = transformers.XLMConfig(
        vocab_size=len(reference), emb_dim=32, n_layers=1, n_heads=2, max_position_embeddings=64, n_langs=7,
        lang2id={lang: i for i, lang in enumerate(tiny_xlm.LANGS)}, id2label=dict(enumerate(tiny.LABELS)),
        label2id={label: i for i, label in enumerate(tiny.LABELS)}, pad_token_id=2, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.XLMForSequenceClassification(config).save_pretrained(str(folder))
    add(root / "catalog.toml", str(folder), EntryOptions("xlm", tokens_per_s=100.0))
    return root / "catalog.toml"


@pytest.fixture(scope="module")
def catalog(catalog_path: Path) -> Catalog:
    """Read the catalog back."""
    return load_catalog(catalog_path)


def test_its_entry_says_languages_and_mask(catalog: Catalog) -> None:
    """The mask is `<special1>`, languages have the checkpoint's ids, and a text may use every position."""
    model = catalog.model("xlm")
    assert (model.family, model.max_tokens, model.pad_id) == ("xlm", 64, 2)
    assert (model.mask_token, model.mask_id) == ("<special1>", tiny_xlm.SPECIAL.index("<special1>"))
    assert model.lang2id == {lang: i for i, lang in enumerate(tiny_xlm.LANGS)}
    assert model.heads["classifier"].labels == tiny.LABELS


def test_its_artifact_is_one_file_that_reads_as_the_reference(
    catalog: Catalog, catalog_path: Path, tmp_path: Path
) -> None:
    """It holds vocabulary, merges and flags, and what functions load from it gives the ids of transformers."""
    paths = write_artifacts(catalog, catalog_path.parent, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["xlm/tokenizer.json"]
    loaded = load_tokenizers(catalog, tmp_path)["xlm"]
    assert loaded.fingerprint == catalog.model("xlm").tokenizer_sha256
    assert tokenizer_of(catalog.model("xlm"), catalog_path.parent).fingerprint == loaded.fingerprint
    reference = tiny_xlm.load_reference(catalog_path.parent / "models" / "xlm")
    text = "Photons aren't <special1> small, n'est-ce pas?"
    assert list(loaded.encode(text, "fr").ids) == tiny_xlm.reference_ids(reference, text, "fr")


def test_a_vocabulary_one_longer_than_the_model_is_refused_with_both_numbers(
    catalog_path: Path, tmp_path: Path
) -> None:
    """The original vocabulary of some XLMs has a piece for which the model has no row."""
    folder = tmp_path / "longer"
    shutil.copytree(catalog_path.parent / "models" / "xlm", folder)
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps(vocab | {"photon</w>": len(vocab)}), encoding="utf-8")
    said = rf"has {len(vocab) + 1} ids, the model rows for {len(vocab)}: no row for photon</w> \({len(vocab)}\)"
    with pytest.raises(ValueError, match=said):
        add(tmp_path / "catalog.toml", str(folder), EntryOptions("longer", measure=False))


@pytest.mark.parametrize("file", ["vocab.json", "merges.txt"])
def test_an_empty_file_of_the_vocabulary_is_named(file: str, tmp_path: Path) -> None:
    """Of an empty list of merges transformers would make letters, without a word."""
    tiny_xlm.write_tokenizer(tmp_path)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{file} is empty, expected the (pieces|merges) of XLM"):
        artifact_of(tmp_path)


def test_a_class_of_another_family_is_named_with_the_right_one(tmp_path: Path) -> None:
    """The files of XLM under the class of XLM-R have no pieces."""
    tiny_xlm.write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}', encoding="utf-8")
    with pytest.raises(TokenizerError, match="no pieces") as refused:
        artifact_of(tmp_path)
    assert refused.value.hint == 'set "tokenizer_class": "XLMTokenizer" in tokenizer_config.json'


def test_a_vocabulary_without_the_unknown_piece_is_refused(tmp_path: Path) -> None:
    """Every character must have an id, so the unknown piece is needed."""
    tiny_xlm.write_tokenizer(tmp_path)
    vocab = (tmp_path / "vocab.json").read_text(encoding="utf-8")
    (tmp_path / "vocab.json").write_text(vocab.replace('"<unk>"', '"<nothing>"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab.json lacks '<unk>'"):
        artifact_of(tmp_path)
