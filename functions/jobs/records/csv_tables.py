"""Reads CSV and TSV: which columns a job needs, and the cells of one row.

Pure. A bad header is a problem of the whole object, and a bad row is a problem of its record. No message quotes a cell
or a column name: in a file without a header, the first row is already text of a document.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import Columns, Format, ObjectProblem, Problem
from shared.error_text import count

HEADER_BYTES = 1 << 16
csv.field_size_limit(1 << 21)  # holds for all readers of the module; longer records never come here


def find_columns(header: bytes, file_format: Format, task_names: Collection[str]) -> Columns:
    """Return the columns that a job reads, from the bytes of the first row. They may begin with a byte order mark.

    `task_names` are the names that the job's task gives its inputs. Raises ObjectProblem when the row cannot be read,
    when a column that is read occurs twice, or when no column that is read exists.
    """
    try:
        names = _cells(_line(header.decode("utf-8-sig")), file_format)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ObjectProblem(
            problem_codes.WRONG_HEADER, f"got a first row that is no header: {_reason(error)}"
        ) from None
    options = file_format.options
    wanted = {options.text_field, options.text_pair_field, *task_names}
    counted = Counter(names)
    for name in (*sorted(wanted), options.id_field):
        if counted[name] > 1:
            raise ObjectProblem(problem_codes.WRONG_HEADER, f"got {counted[name]} columns named {name!r}, expected one")
    if not (wanted - {"lang", options.text_pair_field}) & set(names):
        found = count(len(names), "column")
        detail = f"got a header of {found}, expected one named {options.text_field!r}; see format.text_field"
        raise ObjectProblem(problem_codes.MISSING_COLUMN, detail)
    return Columns(len(names), {name: i for i, name in enumerate(names) if name in wanted or name == options.id_field})


def read_row(content: str, file_format: Format, columns: Columns) -> dict[str, object] | Problem:
    """Return the cells that a job reads, by the names of their columns, or what is wrong with the row.

    An empty cell is left out, except that of the text. In a column of the task, a cell that is a JSON list becomes
    that list.
    """
    try:
        cells = _cells(content, file_format)
    except csv.Error as error:
        return Problem(problem_codes.BROKEN_ROW, f"got a row that cannot be read: {_reason(error)}")
    if len(cells) != columns.width and content:
        return Problem(
            problem_codes.WRONG_COLUMNS,
            f"got a row of {count(len(cells), 'cell')}, expected {columns.width} as in the header",
        )
    options = file_format.options
    own = {options.text_field, options.text_pair_field, options.id_field}
    row: dict[str, object] = {}
    for name, position in columns.positions.items():
        cell = cells[position] if cells else ""
        if cell or name == options.text_field:
            row[name] = cell if name in own else _listed(cell)
    return row


def _cells(content: str, file_format: Format) -> list[str]:
    """Split the content of one row into its cells. Raises csv.Error."""
    if not file_format.options.quoted:
        return content.split(file_format.delimiter) if content else []
    return next(csv.reader([content], delimiter=file_format.delimiter, strict=True), [])


def _line(content: str) -> str:
    return content.removesuffix("\n").removesuffix("\r")


def _listed(cell: str) -> object:
    if not cell.startswith("["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} at offset {error.start} is not UTF-8"
    return "a quoted cell does not end where it should, or a line break stands outside quotes"
