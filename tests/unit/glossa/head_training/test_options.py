"""`--replace` takes the place of a folder only where nobody else reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glossa.head_training.options import REPORT, TrainOptions, check_options
from shared.catalog import load_catalog


def test_a_folder_that_another_entry_reads_is_not_replaced(catalog_path: Path, tmp_path: Path) -> None:
    """Figures in it do not make a folder free: a model with trained layers has them too."""
    catalog, data, out = load_catalog(catalog_path), tmp_path / "rows.jsonl", tmp_path / "trained"
    out.mkdir()
    for path in (data, out / REPORT):
        path.write_text(json.dumps({}))
    options = TrainOptions("moods", "text-classification", data, "mine", out=out, replace=True)
    assert check_options(options, catalog, tmp_path).out == out
    people = catalog.models["people"].model_copy(update={"checkpoint": "trained"})
    taken = catalog.model_copy(update={"models": {**catalog.models, "people": people}})
    with pytest.raises(ValueError, match="it is that of people; give another --out"):
        check_options(options, taken, tmp_path)
