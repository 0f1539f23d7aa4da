"""Records: any chunks and any shards give the same records, and each byte belongs to exactly one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.jobs.records.formats import DELIMITERS, Columns, Format, FormatOptions, Framing, Problem, format_of
from functions.jobs.records.records import Record, RecordLocation, RecordSpan, RecordSplitter, parse, split_records
from functions.jobs.records.shard_runs import Run, ShardLimits, group_into_runs
from shared.limits import MAX_RECORD_BYTES

FRAMINGS = st.sampled_from(["document", "lines", "jsonl", "csv", "tsv"])
LINE = st.binary(max_size=12) | st.sampled_from(
    [b'{"text":"a"}', b"\xff\xfe", b"\xef\xbb\xbf", "ü日😀".encode(), b"\r", b""]
)
DATA = st.lists(LINE | st.sampled_from([b"\n", b"\r\n", b'"', b",", b"\t"]), max_size=24).map(b"".join)
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def chunked(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Split data into chunks of these sizes, over and over, with an empty chunk after each."""
    chunks, at, i = [], 0, 0
    while at < len(data):
        chunks += [data[at : at + sizes[i % len(sizes)]], b""]
        at, i = at + sizes[i % len(sizes)], i + 1
    return chunks


def as_format(framing: Framing, **options: str) -> Format:
    """Return a format. CSV and TSV have one column, of texts."""
    columns = Columns(1, {"text": 0}) if framing in DELIMITERS else None
    return Format(framing, False, FormatOptions(**options), columns)  # type: ignore[arg-type] # text is not among them


def spans_of(
    data: bytes, framing: Framing, limit: int = 1 << 20, sizes: Sequence[int] = (1 << 20,)
) -> list[RecordSpan]:
    """Split a whole stream into records."""
    splitter = RecordSplitter(as_format(framing), max_record_bytes=limit)
    return [span for chunk in chunked(data, sizes) for span in splitter.feed(chunk)] + list(splitter.close())


@given(DATA, FRAMINGS, SIZES, st.integers(1, 20))
def test_chunks_do_not_matter(data: bytes, framing: Framing, sizes: list[int], limit: int) -> None:
    """The same bytes in chunks of any size give the same records, also those over the limit."""
    assert spans_of(data, framing, limit, sizes) == spans_of(data, framing, limit)


@given(DATA, FRAMINGS, st.integers(1, 20))
def test_every_byte_belongs_to_exactly_one_record(data: bytes, framing: Framing, limit: int) -> None:
    """Ranges have no gap and no overlap, numbers count up, and the raw bytes are those of the range."""
    found = spans_of(data, framing, limit)
    assert [span.start for span in found] == [0, *(span.end for span in found)][: len(found)]
    assert (found[-1].end if found else 0) == len(data)
    assert [span.index_in_object for span in found] == list(range(len(found)))
    for span in found:
        assert span.end > span.start
        assert span.raw == (data[span.start : span.end] if span.end - span.start <= limit else None)


@given(DATA)
def test_a_line_is_a_record(data: bytes) -> None:
    """There are as many records as lines. A last line without a line end counts."""
    lines = data.split(b"\n")
    assert len(spans_of(data, "lines")) == len(lines) - (lines[-1] == b"")


@settings(max_examples=60)
@given(DATA, FRAMINGS, st.integers(1, 5), st.integers(1, 30), SIZES)
def test_shards_do_not_matter(data: bytes, framing: Framing, most: int, chars: int, sizes: list[int]) -> None:
    """Reading the range of each shard by itself gives all records of the whole, for any limits."""
    file_format = as_format(framing)
    whole = [parse(span, file_format) for span in spans_of(data, framing)]
    made = list(group_into_runs(spans_of(data, framing), ShardLimits(most, chars)))
    again: list[Record] = []
    for run in made:
        piece = chunked(data[run.start : run.end], sizes)
        again += [
            parse(span, file_format) for span in split_records(piece, file_format, RecordLocation(run.start, run.line))
        ]
    assert again == whole
    assert all(len(run.spans) <= most for run in made)
    assert all(len(run.spans) == 1 or sum(span.n_chars for span in run.spans) <= chars for run in made)


@given(DATA, FRAMINGS, st.integers(1, 4), st.integers(0, 10))
def test_planning_resumes_anywhere(data: bytes, framing: Framing, most: int, stop: int) -> None:
    """From any checkpoint between runs, the rest gives the same runs."""
    whole = list(group_into_runs(spans_of(data, framing), ShardLimits(most, 20)))
    before = whole[:stop]
    place = RecordLocation(before[-1].end, before[-1].spans[-1].index_in_object + 1) if before else RecordLocation()
    assert (
        list(group_into_runs(split_records([data[place.offset :]], as_format(framing), place), ShardLimits(most, 20)))
        == whole[len(before) :]
    )


def test_an_oversize_record_is_a_run_of_its_own_and_is_not_held() -> None:
    """A record over the limit is measured and not kept. The records beside it stay the same."""
    data = b"ok\n" + b"x" * 50 + b"\nalso ok\n"
    made = list(group_into_runs(spans_of(data, "lines", 20), ShardLimits()))
    assert [(run.start, run.end, run.oversize) for run in made] == [(0, 3, False), (3, 54, True), (54, 62, False)]
    problem = parse(made[1].spans[0], as_format("lines")).problem
    assert problem is not None
    assert problem.code == "too-large"
    splitter = RecordSplitter(as_format("document"), max_record_bytes=10)
    for _ in range(1000):
        assert list(splitter.feed(b"y" * 1000)) == []
        assert sum(map(len, splitter._held)) <= 10
    assert [(span.end, span.raw) for span in splitter.close()] == [(1_000_000, None)]


def one(line: bytes, framing: Framing = "jsonl", **options: str) -> Record:
    """Read a single record."""
    return parse(RecordSpan(3, 100, 100 + len(line), line), as_format(framing, **options))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"text": "a", "id": "x"}\n', ("a", None, "x")),
        (b'{"text": " a ", "id": 7, "more": [1]}\r\n', (" a ", None, 7)),
        (b'{"text": "a", "text_pair": "b", "id": ""}', ("a", "b", "")),
        ('{"text": "ü\\ud83d\\ude00"}'.encode(), ("ü😀", None, None)),
        (b'{"text": "a", "text_pair": null, "id": null}', ("a", None, None)),
        (b'{"text": "a", "id": -12345678901234567890123}', ("a", None, -12345678901234567890123)),
    ],
)
def test_good_json_lines(line: bytes, expected: tuple[str, str | None, str | int | None]) -> None:
    """Text, pair and id are read. The text is kept exactly."""
    record = one(line)
    assert record.problem is None
    assert (record.text, record.text_pair, record.id) == expected
    assert (record.index_in_object, record.start) == (3, 100)


def test_fields_are_named_by_the_job() -> None:
    """A job may name other fields than the usual ones."""
    record = one(b'{"body": "a", "other": "b", "nr": 5}', text_field="body", text_pair_field="other", id_field="nr")
    assert (record.text, record.text_pair, record.id, record.problem) == ("a", "b", 5, None)


BAD = [
    (b'{"text": "a"', "broken-json"),
    (b'{"text": "a"} {"text": "b"}', "broken-json"),
    (b"", "broken-json"),
    (b"\n", "broken-json"),
    (b"[" * 20_000, "broken-json"),
    (b'{"text": ' + b"1" * 5000 + b"}", "broken-json"),
    (b'{"text": "a", "text": "b"}', "duplicate-key"),
    (b'{"text": "a", "more": {"x": 1, "x": 2}}', "duplicate-key"),
    (b'["a"]', "wrong-type"),
    (b"null", "wrong-type"),
    (b'{"id": "x"}', "wrong-type"),
    (b'{"text": 5}', "wrong-type"),
    (b'{"text": "a", "text_pair": 5}', "wrong-type"),
    (b'{"text": ""}', "empty-text"),
    (b'{"text": " \\n\\t\\u00a0 "}', "empty-text"),
    (b'{"text": "a", "text_pair": " "}', "empty-text"),
    (b'{"text": "a\\ud800"}', "invalid-text"),
    (b'{"text": "a\\u0000"}', "invalid-text"),
    (b'{"text": "a", "id": "\\ud800"}', "invalid-text"),
    (b'{"text": "\xff"}', "invalid-utf8"),
    (b'{"text": "\xc3"}', "invalid-utf8"),
]


@pytest.mark.parametrize(("line", "code"), BAD, ids=[f"{code}-{i}" for i, (_, code) in enumerate(BAD)])
def test_a_bad_line_is_a_record_with_a_problem(line: bytes, code: str) -> None:
    """The problem has a stable code and one sentence without the text. Nothing is raised."""
    record = one(line)
    assert record.problem is not None
    assert record.problem.code == code
    assert record.problem.detail.startswith("got ")
    assert "expected" in record.problem.detail
    assert len(record.problem.detail) < 200


def test_a_bad_record_keeps_its_id() -> None:
    """The caller finds a failed record by its id, where the id can be read."""
    assert one(b'{"id": "x-9", "text": 5}').id == "x-9"


def test_an_id_that_no_row_can_carry_fails_its_record_alone() -> None:
    """An id with a lone surrogate is a problem. JSON can escape it, but UTF-8 cannot hold it."""
    for line in (b'{"text": "a", "id": "x\\udfff"}', b'{"text": 5, "id": "x\\udfff"}'):
        record = one(line)
        assert record.id is None
        assert record.problem == Problem("invalid-text", "got a lone surrogate in id at character 1, expected Unicode")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        *((number, "number that is not a plain integer") for number in ("1.5", "1.10", "1E2", "1e999", "NaN", "-0")),
        ("true", "boolean"),
        ("[1]", "array"),
        ('{"a": 1}', "object"),
    ],
)
def test_an_id_that_would_not_come_back_as_it_was_is_an_error(own: str, said: str) -> None:
    """No id is lost or changed silently. The record fails, and its detail says which ids are allowed."""
    record = one(f'{{"text": "a b", "id": {own}}}'.encode())
    forward = "write the id as a string, or name another id_field"
    detail = f"got a JSON {said} in 'id', expected a string or an integer; {forward}"
    assert (record.id, record.problem) == (None, Problem("wrong-type", detail))


@pytest.mark.parametrize("own", ["1.0", '{"$oid": "5f"}', "true"])
def test_a_job_that_names_another_id_field_is_answered_whatever_stands_in_id(own: str) -> None:
    """The advice in the problem works: a field that no line has means that no record has an id."""
    record = one(f'{{"text": "a b", "id": {own}}}'.encode(), id_field="none")
    assert (record.text, record.id, record.problem) == ("a b", None, None)


def test_the_offset_of_a_bad_byte_is_in_the_object() -> None:
    """The message names the byte's offset in the whole object."""
    problem = one(b'{"text": "\xff"}').problem
    assert problem is not None
    assert "byte 0xff at offset 110" in problem.detail


def test_a_byte_order_mark_is_not_text() -> None:
    """The mark at the start of an object is not part of the text. Elsewhere it stays."""
    file_format = as_format("lines")
    found = [parse(span, file_format).text for span in spans_of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", "lines")]
    assert found == ["a", "\ufeffb"]


def test_a_document_is_kept_whole() -> None:
    """A .txt document keeps all its line ends."""
    file_format = as_format("document")
    assert [parse(span, file_format).text for span in spans_of(b"a\r\nb\n", "document")] == ["a\r\nb\n"]


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_survives_json_lines(text: str) -> None:
    """Any text in a JSON line is read back exactly, or refused as empty or for a NUL."""
    record = one(json.dumps({"text": text}).encode() + b"\n")
    assert record.text == text
    assert (record.problem is not None) == (not text.strip() or "\0" in text)


def test_limits_are_the_same_for_planner_and_worker() -> None:
    """Planner and worker use the same limit, so that they agree which records are too long."""
    assert RecordSplitter(as_format("lines"))._limit == MAX_RECORD_BYTES


def test_a_run_knows_its_range() -> None:
    """Start, end and first line come from its records."""
    run = Run(tuple(spans_of(b"a\nbb\n", "lines")))
    assert (run.start, run.end, run.line, run.oversize) == (0, 5, 0, False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.jsonl", "got a line of 1048577 bytes, at most 1048576"),
        ("a.txt", "got a document of 1048577 bytes, at most 1048576"),
        (
            "a.csv",
            "got a row of 1048577 bytes, at most 1048576; one with a quote that is never closed takes in all that",
        ),
    ],
)
def test_a_record_that_is_too_long_is_named_as_what_it_is(name: str, said: str) -> None:
    """The problem says line, document or row. Only for rows with quotes does it mention a quote that is not closed."""
    problem = parse(RecordSpan(0, 0, MAX_RECORD_BYTES + 1, None), format_of(name, FormatOptions())).problem
    assert problem is not None
    assert problem.detail.startswith(said)
    assert (";" in problem.detail) == name.endswith(".csv")
