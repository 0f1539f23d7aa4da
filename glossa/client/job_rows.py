"""Reads what a batch job has written: CSV without the marks for spreadsheets, and names of files without our prefix.

These are the rules of the service, and tests compare them. Must not know HTTP.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

GUARD = "'"  # stands before a cell that a spreadsheet would run as a formula
_OWN_NAME = re.compile(
    r"t/[a-z0-9-]{1,63}/(?:inbox/[a-z0-9][a-z0-9._-]{0,62}|jobs/[0-9a-f]{32}/input)/(.*[^/])", re.DOTALL
)


def name_of(key: str) -> str:
    """Return the name that the owner of an object gave it: its key without our prefix."""
    found = _OWN_NAME.fullmatch(key)
    return found[1] if found else key.partition("/data/")[2] or key


def without_guards(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a part in CSV, its cells as they were before they were guarded against spreadsheets."""
    for cells in csv.reader(_lines(chunks)):
        yield _csv_line([cell.removeprefix(GUARD) for cell in cells])


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
