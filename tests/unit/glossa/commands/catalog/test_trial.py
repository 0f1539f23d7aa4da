"""`glossa catalog test` holds a model's answers against those of transformers, and can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glossa.cli import main
from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from glossa.commands.catalog.refresh import refresh
from glossa.commands.catalog.report import speed_of
from glossa.commands.catalog.trial import compare, compare_head
from glossa.tokenizer_build.checkpoints import tokenizer_of
from serve.checkpoints.files import SPARSE
from serve.engine.load_engine import load_engine
from shared.catalog import Model, load_catalog
from tests import families
from tests.layouts import LAYOUTS, declare_vectors
from tests.unit.functions.tokenizers import tiny

NAMES = ("xlm-roberta", "bert", "xlm-asm")


def test_each_head_is_a_line(catalog_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tokenizer, each head and the speed are said; when all agree the exit code is 0."""
    assert main(["catalog", "test", "moods", "--catalog", str(catalog_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tokenizer: 17 of 17 texts have the ids of transformers  PASS"
    for line, what in zip(lines[1:3], ("classifier (text-classification)", "embed (feature-extraction)"), strict=True):
        assert line.startswith(f"{what}: largest difference ")
        assert line.endswith(" expected  PASS")
    assert "tokens/s here" in lines[3]
    assert len(lines) == 4


def test_tensors_behind_a_prefix_are_compared_too(catalog_path: Path, tmp_path: Path) -> None:
    """A folder of DataParallel, which transformers alone would not read, can be tested and refreshed."""
    shutil.copytree(catalog_path.parent / "models" / "moods", tmp_path / "moods")
    LAYOUTS["DataParallel"](tmp_path / "moods")
    add(tmp_path / "catalog.toml", str(tmp_path / "moods"), EntryOptions("moods", measure=False))
    lines = list(compare(load_catalog(tmp_path / "catalog.toml").model("moods"), tmp_path, measure=False))
    assert [str(line) for line in lines if not line.ok] == []
    assert refresh(tmp_path / "catalog.toml", "moods", measure=False) == []


def test_a_speed_that_nobody_measured_is_said_to_be_assumed(catalog_path: Path) -> None:
    """Without `tokens_per_s` in its entry, a model has no figure of its own."""
    model = load_catalog(catalog_path).model("moods")
    assert speed_of(model) == f"{model.tokens_per_s:,.0f} tokens/s for each replica"
    unsaid = Model.model_validate(model.model_dump(exclude={"tokens_per_s"}))
    assert speed_of(unsaid).startswith("not measured; 1,000 tokens/s is assumed")


def test_other_weights_fail(catalog_path: Path, tmp_path: Path) -> None:
    """A reference with the same classes and other weights is out of the bound by far."""
    model = load_catalog(catalog_path).model("people")
    other = tmp_path / "other"
    shutil.copytree(catalog_path.parent / "models" / "people", other)
    tiny.write_checkpoint(other, "tokens", tiny.LABELS, seed=1)
    engine, tokenizer = load_engine(model, catalog_path.parent), tokenizer_of(model, catalog_path.parent)
    for name, head in model.heads.items():
        line = compare_head(engine, other, name, head, tokenizer)
        assert line.ok is False
        assert str(line).endswith("FAIL")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a catalog of checkpoints with every head: of a heads.json, with a beam, with an adaptive softmax.

    The BERT has heads of one linear layer and sparse vectors, declares a pooling, and has the names of DataParallel.
    """
    root = tmp_path_factory.mktemp("whole")
    for folder in families.write_whole(root, NAMES):
        if folder.name == "bert":
            save_file({"weight": torch.ones(1, 48), "bias": torch.ones(1)}, folder / SPARSE)
            declare_vectors(folder, "cls", normalize=True)
            LAYOUTS["DataParallel"](folder)
        add(root / "catalog.toml", str(folder), EntryOptions(folder.name, measure=False))
    return root / "catalog.toml"


@pytest.mark.parametrize("name", NAMES)
def test_every_head_of_every_family_is_compared(whole: Path, name: str) -> None:
    """Heads of a heads.json, language models, spans, beams, choices and sparse vectors agree with their reference."""
    model = load_catalog(whole).model(name)
    lines = list(compare(model, whole.parent, measure=False))
    assert len(lines) == 1 + len(model.heads)
    assert [str(line) for line in lines if not line.ok] == []
    if name == "bert":
        assert {head.variant for head in model.heads.values()} == {"", "linear", "sparse"}
        assert (model.heads["embed"].pooling, model.heads["embed"].normalize) == ("cls", True)


@pytest.mark.parametrize("stored", [{"dtype": "float16"}, {"quantization": "torchao-int8"}])
def test_other_precisions_have_bounds_of_their_own(catalog_path: Path, stored: dict[str, str]) -> None:
    """Half precision and quantized layers are held to the bounds of the parity table."""
    model = load_catalog(catalog_path).model("moods").model_copy(update=stored)
    assert all(line.ok for line in compare(model, catalog_path.parent, measure=False))
