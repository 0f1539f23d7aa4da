"""Rows that are held out are not trained on, in whatever way they are given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glossa.head_training.options import TrainOptions, check_options
from glossa.head_training.prepare import prepare
from shared.catalog import load_catalog


@pytest.mark.parametrize(
    ("text", "group", "said"),
    [
        ("another", "new", ""),
        ("TEXT  3", "new", "held.jsonl line 1: got a text that is also trained on"),
        ("another", "g3", "held.jsonl line 1: got group 'g3', which is also trained on"),
    ],
)
def test_a_file_of_held_out_rows_shares_nothing(
    text: str, group: str, said: str, catalog_path: Path, tmp_path: Path
) -> None:
    """A text without case and spaces, or a group, that both files have is named by its line."""
    rows = [{"text": f"text {at}", "label": "ab"[at % 2], "group": f"g{at}"} for at in range(10)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    held = tmp_path / "held.jsonl"
    held.write_text(json.dumps({"text": text, "label": "a", "group": group}), encoding="utf-8")
    options = TrainOptions("moods", "text-classification", tmp_path / "rows.jsonl", "mine", held_out=held)
    checked = check_options(options, load_catalog(catalog_path), tmp_path)
    if not said:
        assert prepare(options, checked).split.held_out == (10,)
        return
    with pytest.raises(ValueError, match=said):
        prepare(options, checked)
