"""Any XLM-RoBERTa classifier in a folder can be added to a catalog; what cannot be served is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glossa.cli import main
from glossa.commands.catalog.add import add
from glossa.commands.catalog.description import choose_heads
from glossa.commands.catalog.options import EntryOptions
from glossa.commands.catalog.refresh import refresh
from serve.checkpoints.read import CheckpointError
from shared.catalog import Head, load_catalog

HEADS = {
    "a": Head(task="text-classification", labels=("x", "y")),
    "b": Head(task="text-classification", labels=("x", "y")),
    "c": Head(task="fill-mask"),
}


def test_an_added_model_has_the_facts_of_its_folder(catalog_path: Path) -> None:
    """Family, sizes, digests, labels in logit order and the mask come from the checkpoint; the path is relative."""
    catalog = load_catalog(catalog_path)
    model = catalog.model("moods")
    assert catalog.default_model == "moods"
    assert list(catalog.models) == ["moods", "people"]
    assert (model.family, model.checkpoint, model.max_tokens, model.pad_id) == ("xlm-roberta", "models/moods", 64, 1)
    assert model.mask_token == "<mask>"
    assert model.heads["classifier"].labels == ("sad", "glad", "mad")
    assert model.heads["classifier"].default
    assert catalog.model("people").heads["classifier"].task == "token-classification"
    assert catalog.model("people").heads["embed"].task == "feature-extraction"


def test_a_name_is_given_once(catalog_path: Path) -> None:
    """A second model of the same name is refused and the catalog stays as it was."""
    before = catalog_path.read_bytes()
    with pytest.raises(ValueError, match="already has a model 'moods'"):
        add(catalog_path, str(catalog_path.parent / "models" / "moods"), EntryOptions("moods"))
    with pytest.raises(ValueError, match="got --name 'Not A Name', expected 1 to 63"):
        add(catalog_path, str(catalog_path.parent / "models" / "moods"), EntryOptions("Not A Name"))
    assert catalog_path.read_bytes() == before


def test_refresh_rewrites_the_digests_and_nothing_else(catalog_path: Path, tmp_path: Path) -> None:
    """The digests change in place after new files. A given speed, comments and the order stay."""
    shutil.copytree(catalog_path.parent / "models", tmp_path / "models")
    path = tmp_path / "catalog.toml"
    before = "# ours\n" + catalog_path.read_text(encoding="utf-8")
    path.write_text(before, encoding="utf-8")
    speed = load_catalog(path).model("people").tokens_per_s
    assert refresh(path, "people", speed) == []
    for name in ("weights_sha256", "config_sha256"):
        digest = getattr(load_catalog(path).model("people"), name)
        path.write_text(before.replace(digest, "0" * 64), encoding="utf-8")
        assert refresh(path, "people", speed) == [name]
        assert path.read_text(encoding="utf-8") == before


def test_refresh_adds_the_digest_that_an_old_catalog_lacks(catalog_path: Path, tmp_path: Path) -> None:
    """An entry from before config_sha256 gets it, and nothing else changes."""
    shutil.copytree(catalog_path.parent / "models", tmp_path / "models")
    path, model = tmp_path / "catalog.toml", load_catalog(catalog_path).model("people")
    text = catalog_path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'config_sha256 = "{model.config_sha256}"\n', ""), encoding="utf-8")
    assert load_catalog(path).model("people").config_sha256 is None
    assert refresh(path, "people", model.tokens_per_s) == ["config_sha256"]
    assert load_catalog(path).model("people") == model


def test_the_speed_is_measured(catalog_path: Path, tmp_path: Path) -> None:
    """`add` and `refresh` write the speed that a replica's warm-up measures, to two digits, even if there was none."""
    shutil.copytree(catalog_path.parent / "models", tmp_path / "models")
    path = tmp_path / "catalog.toml"
    model = load_catalog(catalog_path).model("people")
    line = f"tokens_per_s = {model.tokens_per_s}\n"
    assert model.tokens_per_s == float(f"{model.tokens_per_s:.2g}")
    text = catalog_path.read_text(encoding="utf-8")
    assert text.count("tokens_per_s = ") == 2
    for before in ("tokens_per_s = 0.001\n", ""):
        path.write_text(text.replace(line, before), encoding="utf-8")
        assert refresh(path, "people") == ["tokens_per_s"]
        found = load_catalog(path).model("people").tokens_per_s
        assert found == float(f"{found:.2g}") > 1


def test_a_given_speed_is_taken(catalog_path: Path, tmp_path: Path) -> None:
    """A given speed is written and nothing is measured."""
    path = tmp_path / "catalog.toml"
    add(path, str(catalog_path.parent / "models" / "moods"), EntryOptions("moods", tokens_per_s=77.0))
    assert load_catalog(path).model("moods").tokens_per_s == 77.0


def test_a_tokenizer_that_reads_otherwise_than_transformers_is_refused(catalog_path: Path, tmp_path: Path) -> None:
    """An artifact that gives other ids than transformers is not added, because its answers would be wrong unnoticed."""
    folder = tmp_path / "odd"
    shutil.copytree(catalog_path.parent / "models" / "moods", folder)
    written = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    written["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(ValueError, match="normalizer Lowercase, which XLMRobertaTokenizer of transformers 5 drops"):
        add(tmp_path / "catalog.toml", str(folder), EntryOptions("odd"))
    assert not (tmp_path / "catalog.toml").exists()


@pytest.mark.parametrize(
    ("options", "kept", "defaults"),
    [
        (EntryOptions("n"), ["a", "b", "c"], ["a", "c"]),
        (EntryOptions("n", heads=["b", "fill-mask"]), ["b", "c"], ["b", "c"]),
        (EntryOptions("n", defaults=["b"]), ["a", "b", "c"], ["b", "c"]),
    ],
)
def test_heads_are_chosen_by_name_or_task(options: EntryOptions, kept: list[str], defaults: list[str]) -> None:
    """Each task has one default: the head that is named, else its first."""
    heads = choose_heads(HEADS, options)
    assert list(heads) == kept
    assert [name for name, head in heads.items() if head.default] == defaults


def test_an_unknown_head_is_named() -> None:
    """The error for a head that the checkpoint lacks lists the heads that it has."""
    with pytest.raises(ValueError, match=r"got head 'z', expected one of \['a', 'b', 'c'\]"):
        choose_heads(HEADS, EntryOptions("n", heads=["z"]))


def test_how_a_model_is_stored_is_written_and_measured_so(catalog_path: Path, tmp_path: Path) -> None:
    """The entry has dtype, quantization, int8 embeddings and attention, and the speed is measured with these."""
    path = tmp_path / "catalog.toml"
    folder = str(catalog_path.parent / "models" / "moods")
    options = EntryOptions(
        "moods", dtype="bfloat16", quantization="torchao-int8", int8_embeddings=True, attn_implementation="eager"
    )
    entry = add(path, folder, options).entry
    for line in ('dtype = "bfloat16"', 'quantization = "torchao-int8"', "int8_embeddings = true"):
        assert f"\n{line}\n" in entry
    model = load_catalog(path).model("moods")
    assert (model.dtype, model.quantization, model.int8_embeddings) == ("bfloat16", "torchao-int8", True)
    assert model.attn_implementation == "eager"
    plain = catalog_path.read_text(encoding="utf-8")
    assert not any(name in plain for name in ("dtype", "quantization", "int8_embeddings", "attn_implementation"))


def test_a_storage_this_machine_cannot_run_needs_a_speed(catalog_path: Path, tmp_path: Path) -> None:
    """A model for another machine is added when its speed is given, and refused when it is not."""
    path = tmp_path / "catalog.toml"
    folder = str(catalog_path.parent / "models" / "moods")
    options = EntryOptions("moods", dtype="bfloat16", attn_implementation="flash_attention_2")
    if torch.cuda.is_available():
        pytest.skip("flash attention runs here")
    with pytest.raises(CheckpointError, match="got device cpu, expected cuda") as refused:
        add(path, folder, options)
    assert "--tokens-per-s" in (refused.value.hint or "")
    add(path, folder, replace(options, tokens_per_s=9.0))
    assert load_catalog(path).model("moods").attn_implementation == "flash_attention_2"


@pytest.mark.parametrize(
    ("catalog", "options", "message"),
    [
        ("catalog.toml", EntryOptions("moods"), "already has a model 'moods'"),
        ("catalog.toml", EntryOptions("Moods"), "got --name 'Moods', expected 1 to 63 of a-z"),
        ("catalog.toml", EntryOptions("x", quantization="torchao-int4"), "expected bfloat16"),
        ("broken.toml", EntryOptions("x"), "catalog cannot be read: it is no TOML"),
        ("nowhere/catalog.toml", EntryOptions("x"), "expected a folder that is there; make it: mkdir -p "),
    ],
)
def test_what_is_wrong_with_the_choices_is_said_before_a_download(
    catalog_path: Path, tmp_path: Path, catalog: str, options: EntryOptions, message: str
) -> None:
    """A name, a catalog or a storage that will not do is refused although the checkpoint cannot be reached at all."""
    shutil.copy(catalog_path, tmp_path / "catalog.toml")
    (tmp_path / "broken.toml").write_text("default_model =", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        add(tmp_path / catalog, "hub:nobody/nothing@main", options)


@pytest.mark.parametrize("options", [[], ["--convert"]])
def test_a_missing_folder_is_refused_before_it_is_read(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said to be read or converted that is not there."""
    catalog = str(tmp_path / "catalog.toml")
    assert main(["catalog", "add", "missing/folder", "--name", "x", "--catalog", catalog, *options]) == 2
    assert capsys.readouterr().err.startswith("glossa: got checkpoint 'missing/folder', expected a folder")


def test_an_unknown_head_is_refused_before_weights_are_read(catalog_path: Path, tmp_path: Path) -> None:
    """The headers of the tensors suffice: the folder needs no tokenizer and no whole weights for the refusal."""
    folder = tmp_path / "cut"
    shutil.copytree(catalog_path.parent / "models" / "moods", folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"got head 'topic', expected one of \['classifier', 'embed'\]"):
        add(tmp_path / "catalog.toml", str(folder), EntryOptions("cut", heads=["topic"]))


def test_adding_prints_ten_plain_lines_or_the_entry(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """People read what the model is; --print-entry prints the TOML; what is done meanwhile is on standard error."""
    folder, path = str(catalog_path.parent / "models" / "moods"), tmp_path / "catalog.toml"
    assert main(["catalog", "add", folder, "--name", "moods", "--no-measure", "--catalog", str(path)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) <= 10
    assert lines[0].startswith("moods: xlm-roberta, ")
    assert lines[0].endswith(" parameters")
    assert "heads: classifier: text-classification, 3 labels (sad, glad, mad); embed: feature-extraction" in said.out
    assert "vectors of embed: mean pooling, not normalized, no prompts" in lines
    assert "window: 64 tokens" in lines
    assert f"reading {folder}" in said.err.splitlines()
    options = ["--name", "again", "--tokens-per-s", "7", "--print-entry", "--catalog", str(path)]
    assert main(["catalog", "add", folder, *options]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("[models.again]\n")
    assert "measuring" not in said.err
    assert path.read_text(encoding="utf-8").endswith(said.out)
