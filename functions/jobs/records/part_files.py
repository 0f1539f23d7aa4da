"""The formats of a part object: JSON lines, JSON lines in gzip, or CSV. Parts are written whole and read as a stream.

Pure. The bytes depend on the rows alone, so that two attempts at one shard write the same part. Must not know who made
the rows.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from functions.jobs.records.formats import Output
from functions.jobs.records.gunzip import gunzip

CONTENT_TYPES: Mapping[Output, str] = {
    "jsonl": "application/x-ndjson", "jsonl.gz": "application/gzip", "csv": "text/csv; charset=utf-8",
}  # fmt: skip
CELLS = (
    "index", "source_key", "source_number", "id", "label", "score", "result", "n_windows", "n_tokens", "truncated",
    "error_code", "error_detail",
)  # fmt: skip
MAX_PART_BYTES = 1 << 40
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four are full-width forms
CONTROL_STARTS = ("\t", "\r", "\n")
GUARD = "'"
Row = Mapping[str, object]


def encode(rows: Sequence[tuple[Row, bytes]], output: Output) -> bytes:
    """Return the bytes of a part. Each row comes with its JSON line."""
    if output == "csv":
        return _csv(row for row, _ in rows)
    data = b"".join(line for _, line in rows)
    return gzip.compress(data, 6, mtime=0) if output == "jsonl.gz" else data


def decode(chunks: Iterable[bytes], output: Output) -> Iterator[dict[str, object]]:
    """Yield the rows of a part. In rows read from CSV an id is always text, and a source has a `number`."""
    if output == "csv":
        yield from (_row(cells) for cells in csv.DictReader(_lines(chunks)))
    else:
        plain = gunzip(chunks, MAX_PART_BYTES, math.inf) if output == "jsonl.gz" else chunks
        yield from (json.loads(line) for line in _lines(plain))


def guarded(cell: object) -> object:
    """Return a cell of CSV that no spreadsheet reads as a formula: text that begins like one gets a quote before it.

    White space and characters that cannot be seen are looked through. Text that begins with a quote gets one more, so
    that `unguarded` always returns the cell. Numbers stay as they are.
    """
    if not isinstance(cell, str):
        return cell
    first = next((letter for letter in cell if letter.isprintable() and not letter.isspace()), "")
    is_formula = first in FORMULA_STARTS or cell.startswith((*CONTROL_STARTS, GUARD))
    return GUARD + cell if is_formula else cell


def unguarded(cell: str) -> str:
    """Return the cell that `guarded` was given."""
    return cell.removeprefix(GUARD)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() + "\n" for line in lines)
    if rest:
        yield rest.decode()


def _csv(rows: Iterable[Row]) -> bytes:
    cells = map(_cells, rows)
    return _csv_lines([CELLS, *([guarded(row.get(name, "")) for name in CELLS] for row in cells)])


def _csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = _LfLines(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


class _LfLines(io.StringIO):
    """Ends each row with LF instead of CR LF.

    Before Python 3.13 the CSV writer quotes a lone CR only when it ends its rows with CR LF.
    """

    def write(self, row: str) -> int:
        """Write one row."""
        return super().write(row.removesuffix("\r\n") + "\n")


def _cells(row: Row) -> dict[str, object]:
    source, error = _object(row["source"]), _object(row.get("error"))
    cells: dict[str, object] = {
        "index": row["index"], "source_key": source["key"], "source_number": source.get("line", source.get("row", "")),
        "id": row.get("id", ""), "error_code": error.get("code", ""), "error_detail": error.get("detail", ""),
    }  # fmt: skip
    if "result" not in row:
        return cells
    best = _object(row["result"][0] if isinstance(row["result"], list) and row["result"] else row["result"])
    result = json.dumps(row["result"], ensure_ascii=False, separators=(",", ":"))
    counts = {name: row[name] for name in ("n_windows", "n_tokens")}
    first = {name: best.get(name, "") for name in ("label", "score")}
    return cells | counts | first | {"result": result, "truncated": json.dumps(row["truncated"])}


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _row(found: Mapping[str, str]) -> dict[str, object]:
    cells = {name: unguarded(cell) for name, cell in found.items()}
    source: dict[str, object] = {"key": cells["source_key"]}
    if cells["source_number"]:
        source["number"] = int(cells["source_number"])
    row: dict[str, object] = {"index": int(cells["index"]), "source": source}
    if cells["id"]:
        row["id"] = cells["id"]
    if cells["error_code"]:
        return row | {"error": {"code": cells["error_code"], "detail": cells["error_detail"]}}
    counts = {name: int(cells[name]) for name in ("n_windows", "n_tokens")}
    return row | {"result": json.loads(cells["result"]), **counts, "truncated": cells["truncated"] == "true"}
