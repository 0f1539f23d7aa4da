"""Reads what a batch job has written: its rows, CSV without the marks for spreadsheets, and names of files.

These are the rules of the service, and tests compare them. Must not know HTTP.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from glossa.client import readers
from glossa.client.answering import read_answer
from glossa.client.jobs.status import JobError

MAX_CELL_CHARS = 1 << 26  # of a cell of CSV; csv itself stops at 131,072, and a vector of each token is longer
GUARD = "'"  # stands before a cell that a spreadsheet would run as a formula
_OWN_NAME = re.compile(
    r"t/[a-z0-9-]{1,63}/(?:inbox/[a-z0-9][a-z0-9._-]{0,62}|jobs/[0-9a-f]{32}/input)/(.*[^/])", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Row:
    """The row of one record: its answer in `value`, or its `error`.

    `index` counts over the job, `number` over the file from 1; a document has no number. `key` is the file in the
    storage of the service, and `name` its name. `value` is what the client returns for one input of the same task. For
    feature-extraction, and for tasks that this client does not know, it is as the API gives it.
    """

    index: int
    key: str
    number: int | None
    id: str | int | None
    value: Any
    error: JobError | None
    n_windows: int
    n_tokens: int
    truncated: bool

    @property
    def name(self) -> str:
        """The name of the file, as its owner gave it."""
        return name_of(self.key)


def read_rows(part: IO[bytes], output: str, task: str) -> Iterator[Row]:
    """Read the rows of a part. `output` is the form that the job asked for.

    Reading CSV raises `csv.field_size_limit` of the process, which csv knows for all its readers alone.
    """
    read = readers.BY_TASK.get(task, readers.as_it_is)
    if output == "csv":
        _take_long_cells()
        for cells in csv.DictReader(io.TextIOWrapper(part, encoding="utf-8", newline="")):
            yield row_of(_of_cells({name: cell.removeprefix(GUARD) for name, cell in cells.items()}), read)
        return
    lines = gzip.open(part) if output == "jsonl.gz" else part  # noqa: SIM115 - the part belongs to the caller
    for line in lines:
        yield row_of(json.loads(line), read)


def row_of(found: Mapping[str, Any], read: Callable[[Any], Any]) -> Row:
    """Return the row that a line of JSON holds; `read` makes its value of its result. Raises BadAnswer."""
    return read_answer(lambda row: _row(row, read), found, "a row")


def _row(found: Mapping[str, Any], read: Callable[[Any], Any]) -> Row:
    source, error = found["source"], found.get("error")
    return Row(
        index=found["index"],
        key=source["key"],
        number=source.get("line", source.get("row")),
        id=found.get("id"),
        value=None if error else read(found["result"]),
        error=JobError(error["code"], error["detail"]) if error else None,
        n_windows=found.get("n_windows", 0),
        n_tokens=found.get("n_tokens", 0),
        truncated=found.get("truncated", False),
    )


def _of_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """Return the row that cells of CSV hold, as JSON lines have it. Ids of CSV are texts."""
    row: dict[str, Any] = {"index": int(cells["index"]), "source": {"key": cells["source_key"]}}
    if cells["source_number"]:
        row["source"]["row"] = int(cells["source_number"])
    if cells["id"]:
        row["id"] = cells["id"]
    if cells["error_code"]:
        return row | {"error": {"code": cells["error_code"], "detail": cells["error_detail"]}}
    counts = {name: int(cells[name]) for name in ("n_windows", "n_tokens")}
    return row | counts | {"result": json.loads(cells["result"]), "truncated": cells["truncated"] == "true"}


def name_of(key: str) -> str:
    """Return the name that the owner of an object gave it: its key without our prefix."""
    found = _OWN_NAME.fullmatch(key)
    return found[1] if found else key.partition("/data/")[2] or key


def without_guards(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a part in CSV, its cells as they were before they were guarded against spreadsheets.

    Raises `csv.field_size_limit` of the process, as `read_rows` does.
    """
    _take_long_cells()
    for cells in csv.reader(_lines(chunks)):
        yield _csv_line([cell.removeprefix(GUARD) for cell in cells])


def _take_long_cells() -> None:
    """Raise the limit of csv where it is lower. It is never lowered: another thread may be reading."""
    csv.field_size_limit(max(MAX_CELL_CHARS, csv.field_size_limit()))


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() + "\n" for line in lines)
    if rest:
        yield rest.decode()


def _csv_line(cells: Sequence[str]) -> bytes:
    # Before Python 3.13 the CSV writer quotes a lone CR only when it ends its rows with CR LF.
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return (text.getvalue().removesuffix("\r\n") + "\n").encode()
