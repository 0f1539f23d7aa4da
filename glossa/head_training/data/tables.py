"""Reads CSV, TSV, JSON Lines and CoNLL files into records of named fields, each with the line it begins on.

Must not know what fields mean.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_FIELD_CHARS = 4_000_000  # of one field of a CSV, as of a line of `glossa run`
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
CONLL = (".conll", ".bio", ".iob2")  # a token and its tag on each line, an empty line after each text
SUFFIXES = (*DELIMITERS, *JSON_LINES, *CONLL)
MIN_CONLL_COLUMNS = 2
Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of one row by name, or the `problem` for which it has none. `line` counts from 1."""

    line: int
    fields: Fields
    problem: str = ""


def check_name(path: Path) -> None:
    """Raise ValueError unless there is such a file, and its name says a format."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"got --data {path}, expected a file whose name ends with one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"got --data {path}, which is no file; expected one with a labelled text in each row")


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file in order, without empty lines. Raises ValueError for one that is not UTF-8."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} line {line}: got a byte that is not UTF-8, expected UTF-8; save it as such") from None
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        yield from _separated(text, DELIMITERS[suffix])
    elif suffix in CONLL:
        yield from _conll(text)
    else:
        yield from _json_lines(text)


def _separated(text: str, delimiter: str) -> Iterator[Record]:
    """Yield the rows below the header. A TSV knows no quotes, as published ones do not."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    lines = io.StringIO(text, newline="")
    if delimiter == ",":
        rows = csv.reader(lines, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    names: list[str] | None = None
    begins = 1
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(begins, {}, f"got no row of a table ({error}); put quotes around a text that holds quotes")
            return
        line, begins = begins, rows.line_num + 1
        if not row:
            continue
        if names is None:
            names = [name.strip() for name in row]
            if problem := _repeated(names, "columns"):
                yield Record(line, {}, problem)
                return
        elif len(row) != len(names):
            problem = f"got {len(row)} fields, expected {len(names)} ({', '.join(names)})"
            yield Record(line, {}, f"{problem}; put quotes around a text that holds the separator or a line break")
        else:
            yield Record(line, dict(zip(names, row, strict=True)))


def _repeated(names: Sequence[str], what: str) -> str:
    """Return the problem of names that stand there twice, or "". Columns without a name may: nobody reads them."""
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    return f"got {twice[0]!r} twice among the {what}, expected each name once; rename one of them" if twice else ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if problem := _repeated([name for name, _ in pairs], "keys"):
        raise ValueError(problem)
    return dict(pairs)


def _json_lines(text: str) -> Iterator[Record]:
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            value = json.loads(row, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            yield Record(line, {}, f"got no JSON ({error}), expected an object on each line")
            continue
        if isinstance(value, dict):
            yield Record(line, value)
        else:
            yield Record(line, {}, f"got {type(value).__name__}, expected a JSON object on each line")


def _conll(text: str) -> Iterator[Record]:
    """Yield `tokens` and `tags` of each block: the first and the last column. UNER's comment lines are passed over."""
    begins, tokens, tags = 0, list[str](), list[str]()
    for line, row in enumerate([*text.split("\n"), ""], 1):
        columns = row.rstrip("\r").split("\t") if "\t" in row else row.split()
        if not row.strip():
            if tokens:
                yield Record(begins, {"tokens": tokens, "tags": tags})
            tokens, tags = [], []
        elif row.startswith("# "):
            continue
        elif len(columns) < MIN_CONLL_COLUMNS:
            yield Record(line, {}, f"got {row[:40]!r}, expected a token and its tag, with a tab or a space between")
        else:
            begins = begins if tokens else line
            tokens, tags = [*tokens, columns[0]], [*tags, columns[-1]]
