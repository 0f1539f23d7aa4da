"""How the bytes of an object are read: the format options of a job, and what the object's name and first bytes say.

Pure. Finds problems of whole objects: empty, binary, or with an extension that is not read. `records.py` finds the
problems of single records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from functions.jobs.records import problem_codes

Framing = Literal["document", "lines", "jsonl", "csv", "tsv"]
Output = Literal["jsonl", "csv", "jsonl.gz"]
DEFAULT_OUTPUT: Output = "jsonl"
MAX_OBJECT_BYTES = 5 << 30  # of one input, and of its decoded bytes; also the most that one upload may hold
SNIFF_BYTES = 4096
EXTENSIONS: Mapping[str, Framing] = {
    ".txt": "document", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv",
}  # fmt: skip
DELIMITERS: Mapping[str, str] = {"csv": ",", "tsv": "\t"}
GZIP_MAGIC = b"\x1f\x8b"
MAGIC: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive or an office document",
    b"%PDF": "PDF",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an object or a record: a stable code, and a sentence for a person."""

    code: str
    detail: str


class ObjectProblem(Exception):
    """An object cannot be read as records. Carries the Problem, and is always caught within the batch side."""

    def __init__(self, code: str, detail: str) -> None:
        """Keep the problem."""
        super().__init__(detail)
        self.problem = Problem(code, detail)


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """The format options of a job.

    `text` says whether a .txt object is one document, or one record per line. The three field names are those of JSON
    lines, or of columns. `delimiter` is one character; "" means the usual one of the extension. With `quoted`, a cell
    that begins with a double quote ends at the next single double quote. Without it, quotes are plain characters.
    """

    text: Literal["document", "lines"] = "document"
    text_field: str = "text"
    text_pair_field: str = "text_pair"
    id_field: str = "id"
    delimiter: str = ""
    quoted: bool = True


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a job reads: the number of all columns (`width`), and the position of each by its name."""

    width: int
    positions: Mapping[str, int]

    def to_json(self) -> str:
        """Return the columns as text for a shard's item. The names come from the job, never from a document."""
        return json.dumps([self.width, dict(self.positions)])

    @classmethod
    def from_json(cls, text: str) -> Columns:
        """Read the text that `to_json` made."""
        width, positions = json.loads(text)
        return cls(width, positions)


@dataclass(frozen=True, slots=True)
class Format:
    """How one object is read: its framing, whether it is gzip, the job's options, and the columns of CSV or TSV."""

    framing: Framing
    gzip: bool
    options: FormatOptions
    columns: Columns | None = None

    @property
    def delimiter(self) -> str:
        """The character between the cells of CSV or TSV; "" for other framings."""
        return (self.options.delimiter or DELIMITERS[self.framing]) if self.framing in DELIMITERS else ""


def format_of(name: str, options: FormatOptions) -> Format:
    """Return how the object called `name` is read. Raises ObjectProblem for an extension that is not read."""
    stem, gzip = (name[:-3], True) if name.lower().endswith(".gz") else (name, False)
    extension = "." + stem.rsplit("/", 1)[-1].lower().rpartition(".")[2]
    if extension not in EXTENSIONS or "." not in stem.rsplit("/", 1)[-1]:
        known = ", ".join(EXTENSIONS)
        raise ObjectProblem(
            problem_codes.WRONG_EXTENSION, f"got an object named {name!r}, expected one of {known}, each also .gz"
        )
    framing = EXTENSIONS[extension]
    if framing == "document" and options.text == "lines":
        framing = "lines"
    return Format(framing, gzip, options)


def check_head(head: bytes, nothing: str = "an object of 0 bytes") -> None:
    """Check the first decoded bytes of an object. Raises ObjectProblem when they are not text, or empty.

    `nothing` describes what was found when there is no byte.
    """
    if not head:
        raise ObjectProblem(problem_codes.EMPTY_OBJECT, f"got {nothing}, expected at least one record")
    if head.startswith(GZIP_MAGIC):
        detail = "got data that is still packed (gzip), expected UTF-8 text; pack it once, and end its name with .gz"
        raise ObjectProblem(problem_codes.BINARY, detail)
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            raise ObjectProblem(problem_codes.BINARY, f"got what looks like {kind}, expected UTF-8 text")
    if b"\x00" in head[:SNIFF_BYTES]:
        at = head.index(b"\x00")
        raise ObjectProblem(problem_codes.BINARY, f"got a NUL byte at offset {at}, expected UTF-8 text")
