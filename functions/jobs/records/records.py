"""Splits a stream of bytes into records, and reads one record.

Pure. `split_records` finds where records begin and end; the planner needs no more. `parse` reads the bytes of one
record for the worker. A bad record becomes a record with a problem, never an exception, so that it fails alone. Must
not know shards, keys or tasks.

Every byte of a stream belongs to exactly one record. Lines end with LF, and a CR before it is not text. So record n of
a line format is line n + 1, blank lines included. A row of CSV may span lines; its header is not a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from functions.jobs.records import problem_codes
from functions.jobs.records.csv_tables import read_row
from functions.jobs.records.formats import Format, FormatOptions, Problem
from functions.jobs.records.record_boundaries import BOM, boundary_of
from shared import strict_json
from shared.limits import MAX_RECORD_BYTES
from shared.strict_json import JsonError, lone_surrogate_at

_JSON_NAMES = {dict: "object", list: "array", str: "string", int: "number", float: "number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class RecordLocation:
    """Where a stream begins: byte offset in the decoded object, and number of its first record, both from 0."""

    offset: int = 0
    index_in_object: int = 0


@dataclass(frozen=True, slots=True)
class RecordSpan:
    """The bytes [start, end) of one record in the decoded object, its line end included.

    `raw` holds these bytes, or is None when the record is longer than the limit.
    """

    index_in_object: int
    start: int
    end: int
    raw: bytes | None

    @property
    def n_chars(self) -> int:
        """Length in characters, each bad byte sequence counted as one. 0 when the record is longer than the limit."""
        return len(self.raw.decode("utf-8", "replace")) if self.raw is not None else 0


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read. `text`, `fields` or `problem` is set; `id` is the one that the caller gave, if any.

    `fields` holds the fields of a JSON line or of a row, under the names that a task gives its inputs.
    """

    index_in_object: int
    start: int
    end: int
    text: str | None = None
    text_pair: str | None = None
    id: str | int | None = None
    problem: Problem | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


class RecordSplitter:
    """Takes chunks of any size and yields each record as soon as it is complete.

    Holds at most `max_record_bytes` of an unfinished record. Of a longer one only the length is kept.
    """

    def __init__(
        self, file_format: Format, begin: RecordLocation = RecordLocation(), max_record_bytes: int = MAX_RECORD_BYTES
    ) -> None:
        """Begin at the record at `begin`."""
        self._boundary = boundary_of(file_format, at_start=begin.offset == 0)
        self._limit = max_record_bytes
        self._start, self._index_in_object = begin.offset, begin.index_in_object
        self._length = 0  # bytes seen of the unfinished record
        self._held: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[RecordSpan]:
        """Take the next bytes of the stream; yield each record that they complete."""
        begin = 0
        while (end := self._boundary.find(chunk, begin)) > 0:
            self._hold(chunk[begin:end])
            yield self._span()
            begin = end
        self._hold(chunk[begin:])

    def close(self) -> Iterator[RecordSpan]:
        """Yield the last record, if the stream does not end with LF."""
        if self._length:
            yield self._span()

    def _hold(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._limit:
            self._held.clear()
        elif piece:
            self._held.append(piece)

    def _span(self) -> RecordSpan:
        end = self._start + self._length
        raw = None if self._length > self._limit else b"".join(self._held)
        span = RecordSpan(self._index_in_object, self._start, end, raw)
        self._start, self._index_in_object, self._length = end, self._index_in_object + 1, 0
        self._held.clear()
        return span


def split_records(
    chunks: Iterable[bytes], file_format: Format, begin: RecordLocation = RecordLocation()
) -> Iterator[RecordSpan]:
    """Yield the records of a whole stream that begins at `begin`."""
    splitter = RecordSplitter(file_format, begin)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.close()


def parse(span: RecordSpan, file_format: Format) -> Record:
    """Read one record. Never raises on its content: what is wrong becomes the record's problem."""
    here = (span.index_in_object, span.start, span.end)
    if span.raw is None:
        return Record(*here, problem=_too_large(span.end - span.start, file_format))
    data = span.raw.removeprefix(BOM) if span.start == 0 else span.raw
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        offset = span.start + len(span.raw) - len(data) + error.start
        detail = f"got byte 0x{data[error.start]:02x} at offset {offset}, expected UTF-8"
        return Record(*here, problem=Problem(problem_codes.INVALID_UTF8, detail))
    if file_format.framing == "document":
        return Record(*here, text=content, problem=_check_text(content, "text"))
    content = content.removesuffix("\n").removesuffix("\r")
    if file_format.framing == "lines":
        return Record(*here, text=content, problem=_check_text(content, "text"))
    if file_format.columns is not None:
        found = read_row(content, file_format, file_format.columns)
        return (
            Record(*here, problem=found)
            if isinstance(found, Problem)
            else _read_fields(found, here, file_format.options)
        )
    return _parse_json(content, here, file_format.options)


def _too_large(n_bytes: int, file_format: Format) -> Problem:
    what = {"document": "document", "lines": "line", "jsonl": "line"}.get(file_format.framing, "row")
    detail = f"got a {what} of {n_bytes} bytes, at most {MAX_RECORD_BYTES}"
    if file_format.delimiter and file_format.options.quoted:
        detail += "; one with a quote that is never closed takes in all that follows"
    return Problem(problem_codes.TOO_LARGE, detail)


def _parse_json(content: str, here: tuple[int, int, int], options: FormatOptions) -> Record:
    try:
        value = strict_json.parse(content, constants=True, infinite=True, parse_int=_integer)
    except JsonError as error:
        return Record(*here, problem=_json_problem(error))
    if not isinstance(value, dict):
        detail = f"got a JSON {_kind(value)}, expected an object with a field {options.text_field!r}"
        return Record(*here, problem=Problem(problem_codes.WRONG_TYPE, detail))
    return _read_fields(value, here, options)


def _json_problem(error: JsonError) -> Problem:
    """Say what is wrong with a line, without its keys: they are the document's own."""
    if error.kind == "repeated-key":
        found = f"a JSON object with {error.n_keys} keys of which {error.n_different} are different"
        return Problem(problem_codes.DUPLICATE_KEY, f"got {found}, expected each key once")
    if error.kind == "too-deep":
        return Problem(problem_codes.BROKEN_JSON, "got JSON nested too deep, expected one flat object a line")
    at = f"column {error.column}" if error.kind == "syntax" else "a number"
    return Problem(problem_codes.BROKEN_JSON, f"got a line that is not JSON at {at}, expected an object")


def _read_fields(value: dict[str, object], here: tuple[int, int, int], options: FormatOptions) -> Record:
    own = value.get(options.id_field)
    if isinstance(own, bool) or not isinstance(own, str | int | None):
        return Record(*here, problem=_wrong_id(own, options.id_field))
    if isinstance(own, str) and (broken := _check_unicode(own, options.id_field)):
        return Record(*here, problem=broken)  # without the id: no result row could hold it
    fields = _named(value, options)
    if options.text_field not in value and any(isinstance(part, str | list) for part in fields.values()):
        return Record(*here, id=own, fields=fields)  # for example a question or a query: the task knows these names
    text, pair = value.get(options.text_field), value.get(options.text_pair_field)
    if not isinstance(text, str):
        got = f"a JSON {_kind(text)}" if options.text_field in value else "nothing"
        return Record(
            *here,
            id=own,
            problem=Problem(problem_codes.WRONG_TYPE, f"got {got} in {options.text_field!r}, expected a string"),
        )
    if pair is not None and not isinstance(pair, str):
        detail = f"got a JSON {_kind(pair)} in {options.text_pair_field!r}, expected a string"
        return Record(*here, id=own, problem=Problem(problem_codes.WRONG_TYPE, detail))
    problem = _check_text(text, options.text_field) or (
        _check_text(pair, options.text_pair_field) if pair is not None else None
    )
    return Record(*here, text=text, text_pair=pair, id=own, problem=problem, fields=fields)


def _integer(digits: str) -> int | float:
    """Return a JSON integer. -0 becomes a float, as an integer of Python cannot differ from 0."""
    return -0.0 if digits == "-0" else int(digits)


def _wrong_id(own: object, name: str) -> Problem:
    """Return the problem of an id that is neither a string nor a plain integer; 1.0, 1E2 and -0 are not plain.

    A stored job does not say whether it named `id_field` or left it at its default, so the message is the same for
    both.
    """
    said = f"a JSON {_kind(own)}" + (" that is not a plain integer" if isinstance(own, float) else "")
    forward = "write the id as a string, or name another id_field"
    return Problem(problem_codes.WRONG_TYPE, f"got {said} in {name!r}, expected a string or an integer; {forward}")


def _named(value: Mapping[str, object], options: FormatOptions) -> dict[str, object]:
    """Return fields under the names that tasks know. The job may call the text and its pair by other names."""
    names = {options.text_field: "text", options.text_pair_field: "text_pair"}
    return {names.get(name, name): part for name, part in value.items() if name != options.id_field}


def _kind(value: object) -> str:
    return _JSON_NAMES.get(type(value), "null")


def _check_text(text: str, name: str) -> Problem | None:
    if not text.strip():
        return Problem(
            problem_codes.EMPTY_TEXT, f"got an empty {name}, expected at least one character that is not white space"
        )
    return _check_unicode(text, name)


def _check_unicode(text: str, name: str) -> Problem | None:
    if (at := lone_surrogate_at(text)) is not None:
        return Problem(
            problem_codes.INVALID_TEXT, f"got a lone surrogate in {name} at character {at}, expected Unicode"
        )
    if (at := text.find("\0")) >= 0:
        return Problem(problem_codes.INVALID_TEXT, f"got a NUL (U+0000) in {name} at character {at}, expected text")
    return None
