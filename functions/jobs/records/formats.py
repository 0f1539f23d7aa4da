"""How an object's bytes are to be read: the format options of a job, and what its name and first bytes say.

Pure. Finds the problems of whole objects (empty, binary, wrong extension); those of single
records belong to `records`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Framing = Literal["document", "lines", "jsonl", "csv", "tsv"]
Output = Literal["jsonl", "csv", "jsonl.gz"]
SNIFF_BYTES = 4096
EXTENSIONS: Mapping[str, Framing] = {
    ".txt": "document", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv",
}  # fmt: skip
DELIMITERS: Mapping[str, str] = {"csv": ",", "tsv": "\t"}
MAGIC: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or an office document",
    b"%PDF": "PDF",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a whole object or a record: a stable code, and the sentence a person reads."""

    code: str
    detail: str


class ObjectProblem(Exception):
    """A whole object cannot be read as records; carries the Problem. Never leaves the batch side."""

    def __init__(self, code: str, detail: str) -> None:
        """Keep the problem."""
        super().__init__(detail)
        self.problem = Problem(code, detail)


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """A job's options: whether .txt is one document or a record a line, and the fields of JSONL or columns of tables.

    Tables: `delimiter` is one character ("" for the extension's own), and a cell that begins with a
    double quote ends at the next single one when `quoted`; else quotes are characters like all others.
    """

    text: Literal["document", "lines"] = "document"
    text_field: str = "text"
    text_pair_field: str = "text_pair"
    id_field: str = "id"
    delimiter: str = ""
    quoted: bool = True


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns that a job reads stand in a table: how many there are in all, and the place of each."""

    width: int
    places: Mapping[str, int]

    def to_json(self) -> str:
        """Return the columns as text for a shard's item. Names are the job's own, never the document's."""
        return json.dumps([self.width, dict(self.places)])

    @classmethod
    def from_json(cls, text: str) -> Columns:
        """Rebuild columns from `to_json`."""
        width, places = json.loads(text)
        return cls(width, places)


@dataclass(frozen=True, slots=True)
class Format:
    """How one object is read: its framing, whether it is gzip, the job's options, and the columns of a table."""

    framing: Framing
    gzip: bool
    options: FormatOptions
    columns: Columns | None = None

    @property
    def delimiter(self) -> str:
        """What stands between the cells of a table; "" for what is none."""
        return (self.options.delimiter or DELIMITERS[self.framing]) if self.framing in DELIMITERS else ""


def format_of(name: str, options: FormatOptions) -> Format:
    """Return how the object called `name` is read. Raises ObjectProblem for an extension we do not read."""
    stem, gzip = (name[:-3], True) if name.lower().endswith(".gz") else (name, False)
    extension = "." + stem.rsplit("/", 1)[-1].lower().rpartition(".")[2]
    if extension not in EXTENSIONS or "." not in stem.rsplit("/", 1)[-1]:
        known = ", ".join(EXTENSIONS)
        raise ObjectProblem("wrong-extension", f"got an object named {name!r}, expected one of {known}, each also .gz")
    framing = EXTENSIONS[extension]
    if framing == "document" and options.text == "lines":
        framing = "lines"
    return Format(framing, gzip, options)


def check_head(head: bytes, nothing: str = "an object of 0 bytes") -> None:
    """Check the first decoded bytes of an object. Raises ObjectProblem when it is empty (`nothing`) or not text."""
    if not head:
        raise ObjectProblem("empty-object", f"got {nothing}, expected at least one record")
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            raise ObjectProblem("binary", f"got what looks like {kind}, expected UTF-8 text")
    if b"\x00" in head[:SNIFF_BYTES]:
        at = head.index(b"\x00")
        raise ObjectProblem("binary", f"got a NUL byte at offset {at}, expected UTF-8 text")
