"""Artifacts have the digests that the catalog names."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from functions.tokenizers.load import load_tokenizers, read_tokenizer
from glossa.commands.artifacts import write_artifacts
from glossa.tokenizer_build.checkpoints import artifact_of, check_like_reference, folder_of
from shared.catalog import load_catalog
from tests.unit.functions.tokenizers import tiny


def test_every_models_artifact_is_written_with_a_manifest(catalog_path: Path, tmp_path: Path) -> None:
    """Each model has its tokenizer.json and an entry in the manifest, and the functions can load them."""
    catalog = load_catalog(catalog_path)
    for _ in range(2):  # a second run changes nothing
        paths = write_artifacts(catalog, catalog_path.parent, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == [
        "moods/tokenizer.json",
        "people/tokenizer.json",
    ]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["models"]
    assert manifest["moods"]["sha256"] == sha256(paths[0].read_bytes()).hexdigest()
    assert manifest["moods"]["bytes"] == paths[0].stat().st_size
    tokenizers = load_tokenizers(catalog, tmp_path / "out")
    assert tokenizers["people"].fingerprint == catalog.model("people").tokenizer_sha256


def test_a_tokenizer_that_is_not_the_catalogs_is_refused(catalog_path: Path, tmp_path: Path) -> None:
    """A changed tokenizer stops the build; the error names the command that accepts it."""
    shutil.copytree(catalog_path.parent, tmp_path / "house")
    changed = tmp_path / "house" / "models" / "people" / "tokenizer.json"
    changed.write_bytes(changed.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="glossa catalog refresh people"):
        write_artifacts(load_catalog(catalog_path), tmp_path / "house", tmp_path / "out")


def test_an_older_checkpoint_is_converted_as_transformers_reads_it(tmp_path: Path) -> None:
    """The artifact of a folder with only a SentencePiece model gives the ids of transformers."""
    tiny.write_tokenizer(tmp_path)
    made = (tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"}', encoding="utf-8")
    converted = read_tokenizer(artifact_of(tmp_path))
    check_like_reference(converted, tmp_path)
    original = read_tokenizer(made)
    assert all(converted.encode(text) == original.encode(text) for text in tiny.SENTENCES)


def test_what_holds_no_tokenizer_is_named(tmp_path: Path) -> None:
    """The error names a folder without a tokenizer, and a folder that does not exist."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds neither tokenizer.json, sentencepiece.bpe.model, nor both vocab.json"):
        artifact_of(tmp_path)
    with pytest.raises(ValueError, match="got checkpoint 'nowhere', expected a folder"):
        folder_of("nowhere", tmp_path)
