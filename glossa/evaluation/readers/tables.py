"""Reads tables with a header (.tsv without quotes, .csv) and files of JSON lines as rows of named fields.

A column has several names in different data sets; a reader asks by all of them. Must not know labels or languages.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glossa.evaluation.readers.files import ill_formed, lines
from shared.strict_json import lone_surrogate_at

# Each field by the name that readers use: the names that it has in data sets
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "lang": ("lang", "language"),
    "id": ("index_id", "id", "ID", "pairID", "idx"),
    "label": ("gold_label", "label", "category"),
    "text": ("text", "tweet"),
    "premise": ("premise", "sentence1"),
    "hypothesis": ("hypothesis", "sentence2"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its file, its line, and its values by the names of the columns."""

    path: Path
    line: int
    values: Mapping[str, object]

    def has(self, field: str) -> bool:
        """Whether the row has a field, under one of its names."""
        return any(name in self.values for name in COLUMNS.get(field, (field,)))

    def text(self, field: str) -> str:
        """Return a field as text; numbers as they are written. Raises Unprocessable when it is missing or no text."""
        value = self.value(field)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ill_formed(self.path, self.line, f"got {type(value).__name__} as {field}, expected a text")
        text = str(value)
        if (at := lone_surrogate_at(text)) is not None:
            raise ill_formed(self.path, self.line, f"got a lone surrogate at character {at} of {field}, expected text")
        return text

    def number(self, field: str) -> float:
        """Return a field as a finite number. Raises Unprocessable for anything else."""
        return number(self.path, self.line, self.text(field), field)

    def value(self, field: str) -> object:
        """Return a field, whatever it is. Raises Unprocessable when the row has none."""
        names = COLUMNS.get(field, (field,))
        for name in names:
            if name in self.values:
                return self.values[name]
        raise ill_formed(self.path, self.line, f"got columns {', '.join(self.values)}, expected {' or '.join(names)}")


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table, by the ending of its name. Raises Unprocessable for a line that is none."""
    endings = [ending for ending in path.suffixes if ending not in (".xz", ".gz")]
    ending = endings[-1] if endings else ""
    return {".jsonl": _json_rows, ".json": _json_rows, ".csv": _csv_rows}.get(ending, _tsv_rows)(path)


def number(path: Path, line: int, text: str, field: str) -> float:
    """Return a finite number that stands in a line. Raises Unprocessable."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ill_formed(path, line, f"got {text[:40]!r} as {field}, expected a number")
    return value


def _tsv_rows(path: Path) -> Iterator[Row]:
    header: list[str] = []
    for line, text in lines(path):
        cells = text.split("\t")
        if not header:
            header = _header(path, line, cells)
        elif text:
            yield _row(path, line, header, cells)


def _csv_rows(path: Path) -> Iterator[Row]:
    reader = csv.reader((f"{text}\n" for _, text in lines(path)), strict=True)
    header: list[str] = []
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ill_formed(path, reader.line_num, f"got no CSV ({error}), expected it") from None
        if cells is None:
            return
        if not header:
            header = _header(path, begun, cells)
        elif cells:
            yield _row(path, begun, header, cells)


def _json_rows(path: Path) -> Iterator[Row]:
    for line, text in lines(path):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ill_formed(path, line, f"got no JSON ({error}), expected an object") from None
        if not isinstance(values, dict):
            raise ill_formed(path, line, f"got {type(values).__name__}, expected a JSON object")
        yield Row(path, line, values)


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    """Return the names of columns. Raises Unprocessable for a name that two columns have."""
    twice = [name for at, name in enumerate(cells) if name and name in cells[:at]]
    if twice:
        raise ill_formed(path, line, f"got two columns {twice[0]!r}, expected each name once")
    return cells


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise ill_formed(path, line, f"got {len(cells)} columns, expected {len(header)}: {', '.join(header)[:200]}")
    return Row(path, line, dict(zip(header, cells, strict=True)))
