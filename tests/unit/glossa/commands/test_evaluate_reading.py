"""Questions and choices are measured through the engine, with heads that the shipped model does not have."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from glossa.commands.evaluate import Options, evaluate
from glossa.evaluation.datasets.registry import DATASETS
from glossa.evaluation.results import Record, read
from shared.catalog import load_catalog
from tests.unit.glossa.evaluation.samples import SAMPLES

CLASSES: Mapping[str, Any] = {
    "answers": transformers.XLMRobertaForQuestionAnswering,
    "choices": transformers.XLMRobertaForMultipleChoice,
}


@pytest.fixture(scope="module")
def reading_catalog(catalog_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a catalog of two random models: one answers questions, one weighs choices."""
    root = tmp_path_factory.mktemp("reading")
    for name, kind in CLASSES.items():
        shutil.copytree(catalog_path.parent / "models" / "people", root / name)
        torch.manual_seed(0)
        config = transformers.XLMRobertaConfig.from_pretrained(str(root / name), num_labels=2)
        kind(config).save_pretrained(str(root / name))
        add(root / "catalog.toml", str(root / name), EntryOptions(name, tokens_per_s=1.0))
    return root / "catalog.toml"


def measured(catalog_path: Path, folder: Path, dataset: str, model: str) -> Record:
    """Measure the sample of a data set."""
    sample = SAMPLES[dataset]
    out = folder / "results.json"
    options = Options(DATASETS[dataset], sample.write(folder), model, sample.split, out=out)
    assert evaluate(load_catalog(catalog_path), catalog_path.parent, options, io.StringIO()) == 0
    [record] = read(out).values()
    return record


@pytest.mark.parametrize(
    ("dataset", "model"),
    [("xquad", "answers"), ("mlqa", "answers"), ("xcopa", "choices"), ("jcommonsenseqa", "choices"),
     ("tatoeba", "answers"), ("sts17", "choices")],
)  # fmt: skip
def test_every_kind_of_answer_is_read(dataset: str, model: str, reading_catalog: Path, tmp_path: Path) -> None:
    """Each task answers in the form that is measured, and every input has an answer."""
    record = measured(reading_catalog, tmp_path, dataset, model)
    assert record.n_unanswered == 0
    assert set(record.scores) >= set(DATASETS[dataset].metrics)
    assert all(-100 <= figure <= 100 for figure in record.scores.values())
