"""Where records end in a stream of bytes: nowhere (a document), at each LF, or at an LF outside the quotes of a table.

Pure; one object per stream, fed chunk by chunk in order. Must not know what a record holds.
"""

from __future__ import annotations

import re
from typing import Protocol

from functions.jobs.records.formats import Format

QUOTE, LF = 0x22, 0x0A


class Ends(Protocol):
    """Finds the end of the record that is being read."""

    def find(self, chunk: bytes, begin: int) -> int:
        """Return one past the record's last byte, looking from `begin` on; 0 when it does not end in this chunk."""
        ...


class Never:
    """A document ends with its stream."""

    def find(self, chunk: bytes, begin: int) -> int:  # noqa: ARG002 - part of the protocol
        """Return 0."""
        return 0


class Lines:
    """A line ends with its LF."""

    def find(self, chunk: bytes, begin: int) -> int:
        """Return one past the next LF, or 0."""
        return chunk.find(b"\n", begin) + 1


class Rows:
    """A row of a table ends with an LF that is in no quoted cell (RFC 4180).

    A quote opens a cell only as its first byte, and anywhere else outside is a character; inside, two
    in a row are one character, and one alone closes. So Python's `csv` reads it too.
    """

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter[0]
        # outside: the end of the row, or the end of a cell whose next one is quoted or not seen yet
        self._outside = re.compile(rb"\n|" + re.escape(delimiter) + rb'(?:(?=")|\Z)')
        self._fresh = True  # at the first byte of a cell
        self._inside = False
        self._closing = False  # just after a quote inside: the cell's end, or half of a doubled one

    def find(self, chunk: bytes, begin: int) -> int:
        """Return one past the row's LF, or 0; remembers where in a row the chunk ended."""
        at, size = begin, len(chunk)
        while at < size:
            if self._closing:
                self._closing = False
                self._inside = chunk[at] == QUOTE
                at += self._inside
            elif self._inside:
                at = chunk.find(b'"', at) + 1
                if not at:
                    return 0
                self._closing = True
            elif self._fresh and chunk[at] == QUOTE:
                self._fresh, self._inside = False, True
                at += 1
            else:
                found = self._outside.search(chunk, at)
                self._fresh = found is not None
                if found is None:
                    return 0
                at = found.end()
                if chunk[found.start()] == LF:
                    return at
        return 0


def ends_of(how: Format) -> Ends:
    """Return what finds the ends of an object's records."""
    if how.framing == "document":
        return Never()
    if how.delimiter and how.options.quoted:
        return Rows(how.delimiter.encode())
    return Lines()
