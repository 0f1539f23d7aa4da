"""Finds where records end in a stream of bytes.

A document ends with its stream. A line ends with LF. A row of CSV or TSV ends with an LF that is outside quotes. Pure:
one object per stream is given the chunks in their order. Must not know what a record holds.
"""

from __future__ import annotations

import re
from typing import Protocol

from functions.jobs.records.formats import Format

QUOTE, LF = 0x22, 0x0A
BOM = b"\xef\xbb\xbf"


class RecordBoundary(Protocol):
    """Finds the end of the record that is being read."""

    def find(self, chunk: bytes, begin: int) -> int:
        """Return one past the record's last byte in `chunk`, looking from `begin` on; 0 when it does not end there."""
        ...


class DocumentBoundary:
    """A document ends with its stream."""

    def find(self, chunk: bytes, begin: int) -> int:  # noqa: ARG002 - part of the protocol
        """Return 0."""
        return 0


class LineBoundary:
    """A line ends with its LF."""

    def find(self, chunk: bytes, begin: int) -> int:
        """Return one past the next LF, or 0."""
        return chunk.find(b"\n", begin) + 1


class RowBoundary:
    """A row ends with an LF that is not in a quoted cell (RFC 4180).

    A quote opens a quoted cell only as the first byte of the cell; elsewhere outside quotes it is a plain character.
    Inside, two quotes in a row are one character, and a single one closes. Python's `csv` reads rows the same way.
    With `may_have_bom`, the first bytes are those of an object: a byte order mark there is no part of the first cell.
    """

    def __init__(self, delimiter: bytes, *, may_have_bom: bool = False) -> None:
        self._bom = BOM if may_have_bom else b""  # what may still come of it
        self._delimiter = delimiter[0]
        # Outside quotes: the end of the row, or the end of a cell when the next cell is quoted or not seen yet.
        self._outside = re.compile(rb"\n|" + re.escape(delimiter) + rb'(?:(?=")|\Z)')
        self._at_cell_start = True
        self._quoted = False
        self._after_quote = False  # just after a quote inside a cell: its end, or half of a doubled quote

    def find(self, chunk: bytes, begin: int) -> int:
        """Return one past the row's LF, or 0. Remembers in which part of a row the chunk ended."""
        at, size = begin + self._bom_bytes(chunk, begin), len(chunk)
        while at < size:
            if self._after_quote:
                self._after_quote = False
                self._quoted = chunk[at] == QUOTE
                at += self._quoted
            elif self._quoted:
                at = chunk.find(b'"', at) + 1
                if not at:
                    return 0
                self._after_quote = True
            elif self._at_cell_start and chunk[at] == QUOTE:
                self._at_cell_start, self._quoted = False, True
                at += 1
            else:
                found = self._outside.search(chunk, at)
                self._at_cell_start = found is not None
                if found is None:
                    return 0
                at = found.end()
                if chunk[found.start()] == LF:
                    return at
        return 0

    def _bom_bytes(self, chunk: bytes, begin: int) -> int:
        """Return how many bytes at `begin` are of a byte order mark, which chunks may divide."""
        n_bytes = 0
        while self._bom and begin + n_bytes < len(chunk):
            if chunk[begin + n_bytes] != self._bom[0]:
                self._bom = b""
                break
            self._bom = self._bom[1:]
            n_bytes += 1
        return n_bytes


def boundary_of(file_format: Format, *, at_start: bool = True) -> RecordBoundary:
    """Return what finds the ends of an object's records. `at_start`: the stream begins where the object does."""
    if file_format.framing == "document":
        return DocumentBoundary()
    if file_format.delimiter and file_format.options.quoted:
        return RowBoundary(file_format.delimiter.encode(), may_have_bom=at_start)
    return LineBoundary()
