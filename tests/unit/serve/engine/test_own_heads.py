"""A head with a file of its own is read alone, taken by an engine that runs, and refused if it is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from glossa.head_training.export import head_file
from serve.checkpoints.files import HEAD, CheckpointError
from serve.engine.load_engine import load_engine
from serve.engine.own_heads import check_own_heads
from serve.rows.row import RowResult, row_of
from shared.catalog import Head, Model
from shared.errors import GlossaError, NotFound
from tests.checkpoints import catalog_model, draw, draw_ids, write

IDS = draw_ids((9,), seed=3)[0]
WIDTH = 48


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Write a backbone, and return its catalog entry."""
    write(draw("XLMRobertaModel"), tmp_path)
    return catalog_model(tmp_path)


def with_head(model: Model, root: Path, name: str = "mine", *, width: int = WIDTH, over: str = "") -> Model:
    """Write a linear head of two labels, and return the model with it."""
    weight = torch.randn(2, width, generator=torch.Generator().manual_seed(len(name)))
    data = head_file({"classifier.weight": weight, "classifier.bias": torch.ones(2)}, over or model.weights_sha256)
    (root / name).mkdir(exist_ok=True)
    (root / name / HEAD).write_bytes(data)
    head = Head(
        task="text-classification", variant="linear", prefix="classifier", labels=("a", "b"),
        checkpoint=str(root / name), weights_sha256=hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    return model.model_copy(update={"heads": {**model.heads, name: head}})


def logits(result: RowResult) -> torch.Tensor:
    """Return the logits of an answered row."""
    assert not isinstance(result, GlossaError), result
    return result["logits"]  # type: ignore[index] # a classifier is done in one pass


def test_an_engine_takes_a_head_as_if_it_had_been_loaded_with_it(model: Model, tmp_path: Path) -> None:
    """Its logits are those of an engine that read it at the start; the weights of the backbone are not read again."""
    engine = load_engine(model, tmp_path, device="cpu")
    assert isinstance(engine.forward([row_of(IDS, "mine")])[0], NotFound)
    more = with_head(model, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "moved")
    engine.take_heads(more)
    (tmp_path / "moved").rename(tmp_path / "model.safetensors")
    expected = load_engine(more, tmp_path, device="cpu").forward([row_of(IDS, "mine")])[0]
    assert torch.equal(logits(engine.forward([row_of(IDS, "mine")])[0]), logits(expected))
    engine.take_heads(model)
    assert isinstance(engine.forward([row_of(IDS, "mine")])[0], NotFound)


def test_a_head_that_is_wrong_is_refused_and_changes_nothing(model: Model, tmp_path: Path) -> None:
    """Another file, another backbone, another width, and no file at all are each said with what is expected."""
    changed = with_head(model, tmp_path, "changed")
    (tmp_path / "changed" / HEAD).write_bytes(b"other")
    missing = with_head(model, tmp_path, "missing")
    (tmp_path / "missing" / HEAD).unlink()
    cases = {
        "the catalog expects": changed,
        "cannot be read": missing,
        "was trained over weights": with_head(model, tmp_path, "other", over="b" * 64),
        r"expected \(2, 48\)": with_head(model, tmp_path, "narrow", width=32),
    }
    engine = load_engine(model, tmp_path, device="cpu")
    for said, wrong in cases.items():
        with pytest.raises(CheckpointError, match=said):
            check_own_heads(wrong, tmp_path)
        with pytest.raises(CheckpointError, match=said):
            engine.take_heads(wrong)
        assert engine.model == model
