"""Which tokenizers get a prebuilt form, that functions read it, and that a changed one is refused."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from functions.tokenizers.load import load_tokenizers
from functions.tokenizers.memory_mapped import file_format
from functions.tokenizers.memory_mapped.kernel import Kernel, kernel_name
from functions.tokenizers.memory_mapped.tokenizer import MemoryMappedTokenizer
from functions.tokenizers.unigram import JsonTokenizer
from glossa.commands.artifacts import write_artifacts
from glossa.tokenizer_build.checkpoints import artifact_of
from glossa.tokenizer_build.code_points import KEY, OPENS, classes_of, keys_of
from glossa.tokenizer_build.kernel import compile_kernels
from glossa.tokenizer_build.prebuilt import prebuild, unsupported_rule
from shared.catalog import Catalog, load_catalog
from tests.data import XLMR_TOKENIZER
from tests.unit.functions.tokenizers import tiny

SAMPLE = tiny.SENTENCES[:20]


@pytest.fixture(scope="module")
def built(catalog_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the artifacts of both models once."""
    out = tmp_path_factory.mktemp("out")
    write_artifacts(load_catalog(catalog_path), catalog_path.parent, out)
    return out


@pytest.fixture
def catalog(catalog_path: Path) -> Catalog:
    """Read the catalog of the two models."""
    return load_catalog(catalog_path)


def rules_of(catalog_path: Path) -> dict[str, Any]:
    """Return a tokenizer.json whose rules the kernel supports."""
    rules: dict[str, Any] = json.loads((catalog_path.parent / "models/people/tokenizer.json").read_text("utf-8"))
    return rules


def test_functions_read_the_prebuilt_form(built: Path, catalog: Catalog) -> None:
    """A model whose prebuilt form is in the manifest gets the mapped tokenizer, with the artifact's fingerprint."""
    for name, tokenizer in load_tokenizers(catalog, built).items():
        assert isinstance(tokenizer, MemoryMappedTokenizer)
        assert tokenizer.fingerprint == catalog.model(name).tokenizer_sha256
        library = JsonTokenizer((built / name / "tokenizer.json").read_bytes())
        assert [tokenizer.encode(text) for text in SAMPLE] == [library.encode(text) for text in SAMPLE]


def test_kernels_are_for_both_machine_types(built: Path) -> None:
    """Each machine type has one small file, whose digest is in the manifest."""
    kernels = json.loads((built / "manifest.json").read_text("utf-8"))["kernels"]
    assert set(kernels) == {"unigram-aarch64.so", "unigram-x86_64.so"}
    for entry in kernels.values():
        content = (built / entry["path"]).read_bytes()
        assert content[:4] == b"\x7fELF"
        assert (entry["sha256"], entry["bytes"]) == (sha256(content).hexdigest(), len(content))
        assert len(content) < 100_000


def test_a_second_run_makes_the_same(built: Path, catalog_path: Path, tmp_path: Path) -> None:
    """Right files are not written again, and a new build has the same bytes, so that packages do not change."""
    stamps = {path: path.stat().st_mtime_ns for path in built.glob("*/tokenizer.*")}
    manifest = (built / "manifest.json").read_bytes()
    write_artifacts(load_catalog(catalog_path), catalog_path.parent, built)
    assert {path: path.stat().st_mtime_ns for path in built.glob("*/tokenizer.*")} == stamps
    write_artifacts(load_catalog(catalog_path), catalog_path.parent, tmp_path)
    assert (built / "manifest.json").read_bytes() == (tmp_path / "manifest.json").read_bytes() == manifest


@pytest.mark.parametrize("name", ["people/tokenizer.unigram", "people/tokenizer.json", "kernels"])
def test_a_changed_file_is_refused(built: Path, catalog: Catalog, tmp_path: Path, name: str) -> None:
    """The artifact must have the catalog's digest; the prebuilt form and the kernel must have the manifest's."""
    shutil.copytree(built, tmp_path / "changed")
    path = tmp_path / "changed" / name
    path = path / str(kernel_name()) if path.is_dir() else path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=rf"{path.name}: got sha256 \w+, the (catalog|manifest) expects"):
        load_tokenizers(catalog, tmp_path / "changed")


def test_without_a_kernel_the_library_reads(built: Path, catalog: Catalog, tmp_path: Path) -> None:
    """Without this machine's kernel, or without a manifest, the tokenizers library reads the artifact."""
    shutil.copytree(built, tmp_path / "plain")
    manifest = json.loads((tmp_path / "plain" / "manifest.json").read_text("utf-8"))
    (tmp_path / "plain" / "manifest.json").write_text(json.dumps(manifest | {"kernels": {}}))
    assert isinstance(load_tokenizers(catalog, tmp_path / "plain")["people"], JsonTokenizer)
    (tmp_path / "plain" / "manifest.json").unlink()
    assert isinstance(load_tokenizers(catalog, tmp_path / "plain")["people"], JsonTokenizer)


def test_a_tokenizer_with_unsupported_rules_is_read_by_the_library(catalog_path: Path, tmp_path: Path) -> None:
    """The build prints the reason and leaves no prebuilt form, and functions read the artifact itself."""
    house = tmp_path / "house"
    shutil.copytree(catalog_path.parent, house)
    text = (house / "catalog.toml").read_text("utf-8")
    path = house / "models/people/tokenizer.json"
    before, rules = path.read_bytes(), rules_of(catalog_path)
    rules["normalizer"] = {"type": "Sequence", "normalizers": [rules["normalizer"], {"type": "Lowercase"}]}
    path.write_text(json.dumps(rules), "utf-8")
    old, new = sha256(before).hexdigest(), sha256(path.read_bytes()).hexdigest()
    entry = text.index("people")
    (house / "catalog.toml").write_text(text[:entry] + text[entry:].replace(old, new), "utf-8")
    catalog = load_catalog(house / "catalog.toml")
    if catalog.model("people").tokenizer_sha256 != new:  # both entries had the old digest
        (house / "catalog.toml").write_text(text.replace(old, new), "utf-8")
        catalog = load_catalog(house / "catalog.toml")
        (house / "models/moods/tokenizer.json").write_bytes(path.read_bytes())
    said: list[str] = []
    out = tmp_path / "out"
    (out / "people").mkdir(parents=True)
    (out / "people" / "tokenizer.unigram").write_bytes(b"of an older build")
    write_artifacts(catalog, house, out, warn=said.append)
    assert any("people" in line and "the kernel has no normalizer Lowercase" in line for line in said)
    assert not (out / "people" / "tokenizer.unigram").exists()
    tokenizer = load_tokenizers(catalog, out)["people"]
    assert isinstance(tokenizer, JsonTokenizer)
    assert tokenizer.encode("HELLO").ids == tokenizer.encode("hello").ids


def test_each_unsupported_rule_is_named(catalog_path: Path) -> None:
    """A supported file has no reason; a change of any rule that the kernel relies on has one."""
    rules = rules_of(catalog_path)
    assert unsupported_rule(rules) is None
    assert unsupported_rule(rules | {"normalizer": None}) is None
    model, (token, *rest) = rules["model"], rules["added_tokens"]
    other = [
        ({"model": {"type": "BPE", "vocab": {}}}, "not Unigram"),
        ({"model": model | {"byte_fallback": True}}, "bytes"),
        ({"normalizer": {"type": "NFKC"}}, "normalizer"),
        ({"pre_tokenizer": None}, "Metaspace"),
        ({"decoder": None}, "decoder"),
        ({"added_tokens": [token | {"normalized": True}, *rest]}, "added token"),
        ({"added_tokens": [token | {"single_word": True}, *rest]}, "added token"),
        ({"model": model | {"vocab": [*model["vocab"], ["", 0.0]]}}, "empty"),
        ({"model": model | {"vocab": [*model["vocab"], ["x" * 9, 0.5]]}}, "above zero"),
        ({"model": model | {"vocab": [*model["vocab"], ["<unk>x", -1.0]]}}, "unknown piece"),
    ]
    for change, reason in other:
        assert reason in (unsupported_rule(rules | change) or ""), change


def test_keys_are_read_from_the_normalizers_table(catalog_path: Path) -> None:
    """The table replaces a single ligature, and a letter with its accent; the classes of both tell so."""
    import base64  # noqa: PLC0415 - only this test needs it

    table = base64.b64decode(rules_of(catalog_path)["normalizer"]["precompiled_charsmap"])
    keys = set(keys_of(table))
    assert {"\ufb01".encode(), "e\u0301".encode(), "\u3000".encode()} <= keys
    assert b"e" not in keys
    classes = classes_of(keys)
    assert classes[0xFB01] & KEY
    assert classes[ord("e")] & (KEY | OPENS) == OPENS


def test_scores_are_the_files_to_the_last_bit(tmp_path: Path) -> None:
    """Of two paths with equal scores the first wins, as in transformers, so no score may be rounded."""
    folder, text = XLMR_TOKENIZER, "😁😁😁😁😁😂😂😂😂😂"
    kernel = Kernel(next(path for path in compile_kernels(tmp_path) if path.name == kernel_name()))
    (tmp_path / file_format.NAME).write_bytes(prebuild(artifact_of(folder), kernel))
    ours = MemoryMappedTokenizer(tmp_path / file_format.NAME, kernel).encode(text).ids
    assert list(ours) == AutoTokenizer.from_pretrained(str(folder))(text, add_special_tokens=False)["input_ids"]
