"""Cuts a stream of bytes into records, and reads one record.

Pure, in two steps: `RecordSplitter` finds where records begin and end (all the planner needs), `parse`
reads the bytes of one (the worker's part). A bad record is a record with a problem, never an
exception: it fails alone. Must not know shards, keys or tasks.

Every byte of a stream belongs to exactly one record; lines end in LF (a CR before it is not
text), so record n of a line format is line n + 1, blank lines included. Rows of a table may span
lines; its header is no record, and is read before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from functions.jobs.records.csv_tables import read_row
from functions.jobs.records.formats import Format, FormatOptions, Problem
from functions.jobs.records.record_boundaries import ends_of
from shared import strict_json
from shared.strict_json import JsonError, lone_surrogate_at

MAX_RECORD_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"
_JSON_NAMES = {dict: "object", list: "array", str: "string", int: "number", float: "number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class RecordLocation:
    """Where a stream, or the rest of one, begins: byte offset in the decoded object, and record number."""

    offset: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class RecordSpan:
    """The bytes of one record: half-open range [start, end) of the decoded object, terminator included.

    `raw` holds them, or is None when the record is longer than the limit.
    """

    index: int
    start: int
    end: int
    raw: bytes | None

    @property
    def n_chars(self) -> int:
        """Length in characters (replacement characters for bytes that are not UTF-8); 0 when too long to hold."""
        return len(self.raw.decode("utf-8", "replace")) if self.raw is not None else 0


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read. `text`, `fields` or `problem` is set; `id` is the caller's own, when given.

    `fields` is the object of a JSON line, under the names that a task gives its inputs.
    """

    index: int
    start: int
    end: int
    text: str | None = None
    text_pair: str | None = None
    id: str | int | None = None
    problem: Problem | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


class RecordSplitter:
    """Feeds on chunks of any size and gives the frames that are complete; `close` gives the last.

    Holds at most `max_record_bytes` of an unfinished record; a longer one is measured, not kept.
    """

    def __init__(
        self, how: Format, place: RecordLocation = RecordLocation(), max_record_bytes: int = MAX_RECORD_BYTES
    ) -> None:
        """Begin at `place`."""
        self._ends = ends_of(how)
        self._limit = max_record_bytes
        self._start, self._index = place.offset, place.index
        self._length = 0  # bytes seen of the record being built
        self._held: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[RecordSpan]:
        """Take the next bytes of the stream; yield each frame that they complete."""
        begin = 0
        while (end := self._ends.find(chunk, begin)) > 0:
            self._hold(chunk[begin:end])
            yield self._frame()
            begin = end
        self._hold(chunk[begin:])

    def close(self) -> Iterator[RecordSpan]:
        """Yield the last frame, if the stream does not end in a newline."""
        if self._length:
            yield self._frame()

    def _hold(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._limit:
            self._held.clear()
        elif piece:
            self._held.append(piece)

    def _frame(self) -> RecordSpan:
        end = self._start + self._length
        raw = None if self._length > self._limit else b"".join(self._held)
        frame = RecordSpan(self._index, self._start, end, raw)
        self._start, self._index, self._length = end, self._index + 1, 0
        self._held.clear()
        return frame


def cut(chunks: Iterable[bytes], how: Format, place: RecordLocation = RecordLocation()) -> Iterator[RecordSpan]:
    """Yield the frames of a whole stream that begins at `place`."""
    cutter = RecordSplitter(how, place)
    for chunk in chunks:
        yield from cutter.feed(chunk)
    yield from cutter.close()


def parse(frame: RecordSpan, how: Format) -> Record:
    """Read one frame. Never raises on content: what is wrong becomes the record's problem."""
    here = (frame.index, frame.start, frame.end)
    if frame.raw is None:
        return Record(*here, problem=_too_large(frame.end - frame.start, how))
    data = frame.raw.removeprefix(BOM) if frame.start == 0 else frame.raw
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        offset = frame.start + len(frame.raw) - len(data) + error.start
        detail = f"got byte 0x{data[error.start]:02x} at offset {offset}, expected UTF-8"
        return Record(*here, problem=Problem("invalid-utf8", detail))
    if how.framing == "document":
        return Record(*here, text=content, problem=_check_text(content, "text"))
    content = content.removesuffix("\n").removesuffix("\r")
    if how.framing == "lines":
        return Record(*here, text=content, problem=_check_text(content, "text"))
    if how.columns is not None:
        found = read_row(content, how, how.columns)
        return Record(*here, problem=found) if isinstance(found, Problem) else _read_fields(found, here, how.options)
    return _parse_json(content, here, how.options)


def _too_large(n_bytes: int, how: Format) -> Problem:
    what = {"document": "document", "lines": "line", "jsonl": "line"}.get(how.framing, "row")
    detail = f"got a {what} of {n_bytes} bytes, at most {MAX_RECORD_BYTES}"
    if how.delimiter and how.options.quoted:
        detail += "; one with a quote that is never closed takes in all that follows"
    return Problem("too-large", detail)


def _parse_json(content: str, here: tuple[int, int, int], options: FormatOptions) -> Record:
    try:
        value = strict_json.parse(content, constants=True, infinite=True, parse_int=_whole)
    except JsonError as error:
        return Record(*here, problem=_json_problem(error))
    if not isinstance(value, dict):
        detail = f"got a JSON {_kind(value)}, expected an object with a field {options.text_field!r}"
        return Record(*here, problem=Problem("wrong-type", detail))
    return _read_fields(value, here, options)


def _json_problem(error: JsonError) -> Problem:
    """Say what is wrong with a line, without its keys: they are the document's own."""
    if error.kind == "repeated-key":
        found = f"a JSON object with {error.n_keys} keys of which {error.n_different} are different"
        return Problem("duplicate-key", f"got {found}, expected each key once")
    if error.kind == "too-deep":
        return Problem("broken-json", "got JSON nested too deep, expected one flat object a line")
    at = f"column {error.column}" if error.kind == "syntax" else "a number"
    return Problem("broken-json", f"got a line that is not JSON at {at}, expected an object")


def _read_fields(value: dict[str, object], here: tuple[int, int, int], options: FormatOptions) -> Record:
    own = value.get(options.id_field)
    if isinstance(own, bool) or not isinstance(own, str | int | None):
        return Record(*here, problem=_lost(own, options.id_field))
    if isinstance(own, str) and (broken := _check_unicode(own, options.id_field)):
        return Record(*here, problem=broken)  # without the id: no result row could carry it
    fields = _named(value, options)
    if options.text_field not in value and any(isinstance(part, str | list) for part in fields.values()):
        return Record(*here, id=own, fields=fields)  # a question, a query, … : the task knows its names
    text, pair = value.get(options.text_field), value.get(options.text_pair_field)
    if not isinstance(text, str):
        got = f"a JSON {_kind(text)}" if options.text_field in value else "nothing"
        return Record(
            *here, id=own, problem=Problem("wrong-type", f"got {got} in {options.text_field!r}, expected a string")
        )
    if pair is not None and not isinstance(pair, str):
        detail = f"got a JSON {_kind(pair)} in {options.text_pair_field!r}, expected a string"
        return Record(*here, id=own, problem=Problem("wrong-type", detail))
    problem = _check_text(text, options.text_field) or (
        _check_text(pair, options.text_pair_field) if pair is not None else None
    )
    return Record(*here, text=text, text_pair=pair, id=own, problem=problem, fields=fields)


def _whole(digits: str) -> int | float:
    """Return a JSON integer; -0 as the number that is told from 0, as no integer of Python is."""
    return -0.0 if digits == "-0" else int(digits)


def _lost(own: object, name: str) -> Problem:
    """Return the problem of an id that is neither a string nor a plain integer, of which 1.0, 1E2 and -0 are none.

    A stored job does not say whether it named `id_field` or left it at its default; so both are told alike.
    """
    said = f"a JSON {_kind(own)}" + (" that is not a plain integer" if isinstance(own, float) else "")
    forward = "write the id as a string, or name another id_field"
    return Problem("wrong-type", f"got {said} in {name!r}, expected a string or an integer; {forward}")


def _named(value: Mapping[str, object], options: FormatOptions) -> dict[str, object]:
    """Return a line's fields by the names that tasks know: the job's own names for text and pair are theirs."""
    names = {options.text_field: "text", options.text_pair_field: "text_pair"}
    return {names.get(name, name): part for name, part in value.items() if name != options.id_field}


def _kind(value: object) -> str:
    return _JSON_NAMES.get(type(value), "null")


def _check_text(text: str, name: str) -> Problem | None:
    if not text.strip():
        return Problem("empty-text", f"got an empty {name}, expected at least one character that is not white space")
    return _check_unicode(text, name)


def _check_unicode(text: str, name: str) -> Problem | None:
    if (at := lone_surrogate_at(text)) is not None:
        return Problem("invalid-text", f"got a lone surrogate in {name} at character {at}, expected Unicode")
    if (at := text.find("\0")) >= 0:
        return Problem("invalid-text", f"got a NUL (U+0000) in {name} at character {at}, expected text")
    return None
