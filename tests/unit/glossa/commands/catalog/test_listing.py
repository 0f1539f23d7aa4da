"""`glossa catalog list` and `show` print what the catalog says of its models."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.cli import main


def test_each_model_is_a_line(catalog_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The default model is marked; family, tasks and checkpoint follow."""
    assert main(["catalog", "list", "--catalog", str(catalog_path)]) == 0
    vectors = "feature-extraction, rerank, sentence-similarity"
    assert capsys.readouterr().out.splitlines() == [
        f"moods (default): xlm-roberta, {vectors}, text-classification; models/moods",
        f"people: xlm-roberta, {vectors}, token-classification; models/people",
    ]


def test_a_model_is_shown_in_lines_or_as_its_entry(catalog_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines are those of `add`; the entry is that of the file, letter by letter."""
    assert main(["catalog", "show", "people", "--catalog", str(catalog_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["people: xlm-roberta", "checkpoint: models/people"]
    assert "heads: classifier: token-classification, 5 labels (O, B-PER, I-PER, B-LOC, … 1 more); embed:" in lines[3]
    assert main(["catalog", "show", "moods", "--print-entry", "--catalog", str(catalog_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("[models.moods]\n")
    assert shown.strip() in catalog_path.read_text(encoding="utf-8")
    assert main(["catalog", "show", "nobody", "--catalog", str(catalog_path)]) == 2
    assert "no model 'nobody'; models: ['moods', 'people']" in capsys.readouterr().err
