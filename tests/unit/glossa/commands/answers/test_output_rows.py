"""Answers are written as JSON lines, tables and tab-separated values."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from functions.tasks.registry import TASK_NAMES
from glossa.commands.answers.input_lines import Line
from glossa.commands.answers.output_rows import COLUMNS, JsonLines, Table, TabSeparated, fitted
from shared.errors import Unprocessable

LINE = Line(3, "Würde".encode())


def test_every_task_has_columns() -> None:
    """A new task cannot be forgotten here."""
    assert sorted(COLUMNS) == sorted(TASK_NAMES)


@pytest.mark.parametrize(
    ("task", "value", "rows"),
    [
        ("text-classification", [{"label": "a", "score": 0.5}, {"label": "b", "score": 0.25}],
         ["3 a 0.5 ", "3 b 0.25 "]),
        ("zero-shot-classification", {"sequence": "x", "labels": ["a"], "scores": [0.5]}, ["3 a 0.5 "]),
        ("token-classification", [], ["3      "]),
        ("token-classification", [{"entity_group": "PER", "word": "Ann", "start": 0, "end": 3, "score": 1.0}],
         ["3 PER Ann 0 3 1.0 "]),
        ("question-answering", {"answer": "a\tb\n\\c", "start": 1, "end": 2, "score": 0.5},
         ["3 a\\tb\\n\\\\c 1 2 0.5 "]),
        ("fill-mask", [[{"token_str": "a", "token": 5, "score": 0.5, "sequence": "s"}], []], ["3 0 a 5 0.5 s "]),
        ("text-generation", {"generated_text": "more"}, ["3 more "]),
        ("feature-extraction", [0.5, -1.0], ["3 0.5,-1.0 "]),
        ("feature-extraction", [[0.5]], ["3 [[0.5]] "]),
        ("sentence-similarity", [0.5, 0.25], ["3 0 0.5 ", "3 1 0.25 "]),
        ("rerank", [{"index": 1, "score": 0.5}], ["3 1 0.5  "]),
        ("multiple-choice", [{"index": 0, "choice": "c", "score": 0.5}], ["3 0 c 0.5 "]),
    ],
)  # fmt: skip
def test_an_answer_has_rows_of_cells(task: str, value: Any, rows: list[str]) -> None:
    """A row for each label, name, guess, score or vector; each has as many cells as the header."""
    form = TabSeparated(task)
    n_cells = form.header().count(b"\t")
    found = form.rows(LINE, value).decode().splitlines()
    assert [row.replace(" ", ",").replace("\t", " ") for row in found] == rows
    assert {row.count("\t") for row in found} == {n_cells}


def test_an_error_has_a_row() -> None:
    """It names the file when there are several, and never the place in a batch."""
    error = Unprocessable("line 3: got an empty text, expected some")
    assert (
        TabSeparated("rerank").rows(Line(3, b"", "a.txt"), error)
        == b"a.txt:3\t\t\t\tgot an empty text, expected some\n"
    )
    assert b'"line": 3}' in JsonLines().rows(LINE, error)
    assert b'"line": 3, "file": "a.txt"}' in JsonLines().rows(Line(3, b"", "a.txt"), error)
    assert b"error: got an empty text" in Table("rerank", 80).rows(LINE, error)


def test_a_table_has_its_width() -> None:
    """Wide characters take two columns; what is too long is cut with a sign."""
    table = Table("text-classification", 60)
    for text in ("東京の病院の医師たちは、新しいウイルスの検査方法を発表した。", "a" * 200, "short"):
        row = table.rows(Line(1, text.encode()), {"label": "x" * 100, "score": 0.5}).decode().rstrip("\n")
        assert cell_len(row) <= 60
        assert row.endswith("…")
    assert fitted("abc", 3) == "abc"
    assert fitted("abcd", 3) == "ab…"
    assert fitted("ab", 3) == "ab "
