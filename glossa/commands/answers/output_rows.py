"""Writes answers: as JSON lines, as a table for people, or as tab-separated values. One row or more for each line.

Must not know models or where the rows go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rich.cells import set_cell_size

from glossa.commands.answers.input_lines import Line
from glossa.short_answers import short_answer
from shared.errors import GlossaError

Output = Literal["jsonl", "table", "tsv"]
TEXT_SHARE = 0.4  # of the width of a table
LINE_COLUMNS = 7
# The columns of each task in tab-separated values, between `line` and `error`.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "feature-extraction": ("vector",),
    "fill-mask": ("mask", "token_str", "token", "score", "sequence"),
    "multiple-choice": ("index", "choice", "score"),
    "question-answering": ("answer", "start", "end", "score"),
    "rerank": ("index", "score", "document"),
    "sentence-similarity": ("index", "score"),
    "text-classification": ("label", "score"),
    "text-generation": ("generated_text",),
    "token-classification": ("entity", "word", "start", "end", "score"),
    "zero-shot-classification": ("label", "score"),
}
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Rows(Protocol):
    """A form of output. `value` of a line is its answer, or the error that it got."""

    def header(self) -> bytes:
        """Return what stands before the rows."""
        ...

    def rows(self, line: Line, value: object) -> bytes:
        """Return the rows of one line."""
        ...


def rows_of(output: Output, task: str, width: int) -> Rows:
    """Return a form of output for a task. `width` is that of a table, in columns."""
    if output == "jsonl":
        return JsonLines()
    return Table(task, width) if output == "table" else TabSeparated(task)


class JsonLines:
    """A line of JSON for each line. An error has `error`, `code`, `line` and, when there are several files, `file`."""

    def header(self) -> bytes:
        """Return nothing."""
        return b""

    def rows(self, line: Line, value: object) -> bytes:
        """Return a line of JSON."""
        if isinstance(value, GlossaError):
            where: dict[str, object] = {"line": line.number} | ({"file": line.file} if line.file else {})
            value = {"error": message(value.message), "code": value.code, **where}
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Table:
    """A row for each line: its number, its text and its answer in a few words, in a fixed number of columns."""

    task: str
    width: int

    def header(self) -> bytes:
        """Return the names of the columns."""
        return self._row("line", "text", "answer")

    def rows(self, line: Line, value: object) -> bytes:
        """Return one row."""
        text = " ".join((line.data or b"").decode(errors="replace").split())
        said = f"error: {message(value.message)}" if isinstance(value, GlossaError) else short_answer(self.task, value)
        return self._row(str(line.number), text, said)

    def _row(self, number: str, text: str, answer: str) -> bytes:
        room = self.width - LINE_COLUMNS - 4
        text_room = int(room * TEXT_SHARE)
        cells = f"{number:>{LINE_COLUMNS}}", fitted(text, text_room), fitted(answer, room - text_room)
        return "  ".join(cells).rstrip().encode() + b"\n"


@dataclass(frozen=True, slots=True)
class TabSeparated:
    r"""A row for each label, span, guess or vector, with a header. Of a line without any, a row with empty cells.

    Backslashes, tabs and line ends in cells are written as `\\`, `\t`, `\n` and `\r`.
    """

    task: str

    def header(self) -> bytes:
        """Return the names of the columns."""
        return _joined(["line", *COLUMNS[self.task], "error"])

    def rows(self, line: Line, value: object) -> bytes:
        """Return the rows of one line."""
        place = f"{line.file}:{line.number}" if line.file else str(line.number)
        names = COLUMNS[self.task]
        if isinstance(value, GlossaError):
            return _joined([place, *("" for _ in names), message(value.message)])
        found = list(cells(self.task, value)) or [{}]
        return b"".join(_joined([place, *(_cell(row.get(name)) for name in names), ""]) for row in found)


def message(text: str) -> str:
    """Return a message without the input that it names, because the numbers of a batch mean nothing to the caller."""
    name, colon, rest = text.partition(": ")
    return rest if colon and name.startswith(("inputs[", "line ")) else text


def cells(task: str, value: Any) -> Iterator[Mapping[str, object]]:
    """Yield the rows of an answer, each with its cells by the name of the column."""
    if task == "feature-extraction":
        flat = isinstance(value, list) and all(isinstance(number, int | float) for number in value)
        yield {"vector": " ".join(map(repr, value)) if flat else json.dumps(value, ensure_ascii=False)}
    elif task == "sentence-similarity":
        yield from ({"index": index, "score": score} for index, score in enumerate(value))
    elif task == "zero-shot-classification":
        yield from (
            dict(zip(("label", "score"), pair, strict=True))
            for pair in zip(value["labels"], value["scores"], strict=True)
        )
    elif task == "token-classification":
        yield from ({"entity": each.get("entity_group", each.get("entity")), **each} for each in value)
    elif task == "fill-mask":
        masks: Sequence[Any] = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
        yield from ({"mask": i, **guess} for i, mask in enumerate(masks) for guess in _listed(mask))
    else:
        yield from _listed(value)


def fitted(text: str, width: int) -> str:
    """Return a text in exactly `width` columns of a terminal, cut with … where it is longer."""
    cut = set_cell_size(text, width)
    return cut if cut.rstrip() == text.rstrip() else set_cell_size(text, width - 1).rstrip() + "…"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _cell(value: object) -> str:
    return "" if value is None else str(value).translate(ESCAPED)


def _joined(row: Sequence[str]) -> bytes:
    return "\t".join(row).encode("utf-8", "replace") + b"\n"
