"""CSV and TSV: rows may span lines, columns are found by name, and a bad row fails alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.records.csv_tables import HEADER_BYTES, find_columns, read_row
from functions.jobs.records.formats import Columns, Format, FormatOptions, Framing, ObjectProblem, Problem
from functions.jobs.records.record_boundaries import RowBoundary
from functions.jobs.records.records import RecordLocation, RecordSplitter
from tests.unit.functions.jobs.world import World, texts

CELL = st.text(st.sampled_from('ab",\n\t;ü日 '), max_size=6)
TABLE = st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=8)


def table_of(rows: list[list[str]], **dialect: Any) -> bytes:
    """Write rows with the csv library."""
    page = io.StringIO()
    csv.writer(page, **dialect).writerows(rows)
    return page.getvalue().encode()


def how_of(framing: Framing = "csv", **options: Any) -> Format:
    """Return the format of a CSV object."""
    return Format(framing, False, FormatOptions(**options))


def job_of(world: World, name: str, data: bytes, **body: Any) -> str:
    """Run a job of one upload to its end; return its id."""
    _, made = world.ask("POST", "/v1/jobs", {"task": "text-classification", "files": [name]} | body)
    world.objects.put("input", made["uploads"][0]["fields"]["key"], data)
    world.ask("POST", made["start"])
    world.run()
    return str(made["job"])


@given(TABLE, st.sampled_from([",", "\t", ";"]), st.sampled_from(["\n", "\r\n"]), st.integers(1, 9))
def test_what_the_csv_library_writes_is_split_into_its_rows(
    rows: list[list[str]], delimiter: str, end: str, size: int
) -> None:
    """Quoted line ends, delimiters and quotes, in chunks of any size, give one record for each row, with its cells."""
    file_format = how_of(delimiter=delimiter)
    data = table_of(rows, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    plain = table_of(rows, delimiter=delimiter, lineterminator=end)
    for written in (data, plain):
        splitter = RecordSplitter(file_format)
        spans = [f for at in range(0, len(written), size) for f in splitter.feed(written[at : at + size])]
        spans += splitter.close()
        contents = [(span.raw or b"").decode().removesuffix(end) for span in spans]
        columns = Columns(2, {"text": 0, "id": 1})
        found = [read_row(content, file_format, columns) for content in contents]
        assert [(row.get("text", ""), row.get("id", "")) for row in found if isinstance(row, dict)] == [
            (text, name) for text, name in rows
        ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_a_byte_order_mark_before_a_quoted_header_is_no_text(size: int) -> None:
    """A header cell with a line break is one row behind a byte order mark, in chunks of any size; later it is text."""
    data = b'\xef\xbb\xbf"text\nof all",id\n"a\nb",1\n'
    splitter = RecordSplitter(how_of())
    spans = [span for at in range(0, len(data), size) for span in splitter.feed(data[at : at + size])]
    assert [span.raw for span in spans] == [data[:20], data[20:]]
    columns = find_columns(data[:20], how_of(text_field="text\nof all"), ())
    assert columns.positions == {"text\nof all": 0, "id": 1}
    later = RecordSplitter(how_of(), RecordLocation(5, 1))
    assert next(span.raw for span in later.feed(data)) == b'\xef\xbb\xbf"text\n'


@given(st.binary(max_size=40).map(lambda raw: bytes(b'",\n\rx'[b % 5] for b in raw)), st.integers(1, 5))
def test_a_row_ends_where_the_csv_library_ends_it(data: bytes, size: int) -> None:
    """For any quotes, delimiters and line ends, rows end where the csv library ends them."""
    boundary, found, begin, at = RowBoundary(b","), [], 0, 0
    for start in range(0, len(data), size):
        chunk, at = data[start : start + size], 0
        while (end := boundary.find(chunk, at)) > 0:
            found.append(data[begin : start + end])
            begin, at = start + end, end
    found += [data[begin:]] if data[begin:] else []
    assert b"".join(found) == data
    reader = csv.reader(io.StringIO(data.decode().replace("\r", "x"), newline=""))
    lines_read = [reader.line_num for _ in reader]
    n_lines = [row.count(b"\n") + (not row.endswith(b"\n")) for row in found]
    assert [sum(n_lines[: i + 1]) for i in range(len(found))] == lines_read


HEADERS = [
    (b"id,text\n", {}, {"id": 0, "text": 1}),
    (b"\xef\xbb\xbftext,other\r\n", {}, {"text": 0}),
    (b'"body ""x""",nr\n', {"text_field": 'body "x"', "id_field": "nr"}, {'body "x"': 0, "nr": 1}),
    (b"question,context,secret words\n", {}, {"question": 0, "context": 1}),
]


@pytest.mark.parametrize(("header", "options", "places"), HEADERS)
def test_columns_are_found_by_name(header: bytes, options: dict[str, Any], places: dict[str, int]) -> None:
    """Only columns that the job reads are kept. A byte order mark is not part of a name."""
    found = find_columns(header, how_of(**options), {"question", "context"})
    assert found.positions == places
    assert Columns.from_json(found.to_json()) == found
    assert "secret" not in found.to_json()


@pytest.mark.parametrize(
    ("header", "code"),
    [(b"a,b\n", "missing-column"), (b"text,a,text\n", "wrong-header"), (b"text,id,id\n", "wrong-header"),
     (b"t\xffxt\n", "wrong-header"), (b'"text"x,a\n', "wrong-header"), (b"text_pair,lang\n", "missing-column")],
)  # fmt: skip
def test_a_bad_header_is_a_problem_of_the_object(header: bytes, code: str) -> None:
    """Missing columns, repeated columns and broken rows are problems. No message quotes what may be a document."""
    with pytest.raises(ObjectProblem, match=r"expected|no header") as refused:
        find_columns(header, how_of(), {"text", "text_pair", "lang"})
    assert refused.value.problem.code == code


ROWS = [
    ("a,x", {"text": "a", "id": "x"}),
    ("a,", {"text": "a"}),
    (",x", {"text": "", "id": "x"}),
    ("", {"text": ""}),
    ("a", "wrong-columns"),
    ("a,b,c", "wrong-columns"),
    ('"a"b,c', "broken-row"),
    ('"never closed,x', "broken-row"),
]


@pytest.mark.parametrize(("content", "expected"), ROWS)
def test_a_row_is_its_cells_or_one_problem(content: str, expected: object) -> None:
    """A row with another number of cells or bad quotes fails alone. An empty cell is left out."""
    found = read_row(content, how_of(), Columns(2, {"text": 0, "id": 1}))
    assert (found.code if isinstance(found, Problem) else found) == expected


def test_a_cell_may_hold_a_list() -> None:
    """In a column of the task, a JSON list becomes a list of texts. In other columns it stays text."""
    columns = Columns(2, {"text": 0, "choices": 1})
    assert read_row('[1],"[""a"", ""b""]"', how_of(), columns) == {"text": "[1]", "choices": ["a", "b"]}
    assert read_row("[1],[broken", how_of(), columns) == {"text": "[1]", "choices": "[broken"}


DATA = b'id,note,body\r\n1,x,"first\nline ""two"""\r\n2,,\r\n3,y,"a,b"\r\nbad\r\n,z,last'
EXPECTED = ['first\nline "two"', None, "a,b", None, "last"]


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
@pytest.mark.parametrize(("most", "steps"), [(1, 1), (2, 1), (256, 20)])
def test_a_table_becomes_rows(name: str, most: int, steps: int) -> None:
    """However the object is sharded, compressed and resumed, each row gets its result, with row number and id."""
    world = World(max_records=most, step_shards=steps)
    data = gzip.compress(DATA) if name.endswith(".gz") else DATA
    job = job_of(world, name, data, format={"text_field": "body"})
    rows = world.rows(job)
    assert texts(rows) == EXPECTED
    assert [row["source"]["row"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row.get("id") for row in rows] == ["1", "2", "3", None, None]
    assert [row["error"]["code"] for row in rows if "error" in row] == ["empty-text", "wrong-columns"]


def test_planning_a_table_resumes_with_its_columns() -> None:
    """A planner that goes on in the middle of the object still knows the header."""
    world = World(max_records=1, step_shards=1)
    _, made = world.ask("POST", "/v1/jobs", {"task": "text-classification", "files": ["in.tsv"]})
    world.objects.put("input", made["uploads"][0]["fields"]["key"], b"id\ttext\n" + b"7\ta b\n" * 5)
    world.ask("POST", made["start"])
    for _ in range(12):
        if (event := world.queue.receive("plan")) is None:
            break
        left = iter([300.0] * 3)
        world.queue.acknowledge("plan", event, world.planner.handle_event(event, lambda left=left: next(left, 0.0)))  # type: ignore[misc] # bound now
    world.run()
    assert texts(world.rows(made["job"])) == ["a b"] * 5


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "empty-object"), (b"text\n", "empty-object"), (b"text", "empty-object"), (b"x\ny\n", "missing-column"),
     (b'"text' + b"x" * (2 * HEADER_BYTES), "wrong-header"), (b"%PDF-1.7", "binary")],
)  # fmt: skip
def test_a_table_without_rows_or_header_fails_in_words(data: bytes, code: str) -> None:
    """The job ends, and its detail says what is wrong with the object."""
    world = World()
    job = world.job(job_of(world, "in.csv", data))
    assert (job.state, job.code) == ("FAILED", code)


def test_a_quote_that_is_never_closed_is_one_record_and_says_so() -> None:
    """Everything after the quote is one error row. Its bytes are not kept in memory."""
    world = World()
    data = b'text\ngood\n"' + b"never closed\n" * 100_000
    rows = world.rows(job_of(world, "in.csv", data))
    assert texts(rows) == ["good", None]
    assert "never closed takes in all that follows" in rows[1]["error"]["detail"]


def test_a_table_without_quoting_is_read_as_it_stands() -> None:
    """When the job says that quotes are plain characters, every line is a row."""
    world = World()
    rows = world.rows(job_of(world, "in.tsv", b'text\tx\n"Hi", he said\t1\n"\t2\n', format={"quoted": False}))
    assert texts(rows) == ['"Hi", he said', '"']


def test_another_delimiter() -> None:
    """A .csv object with semicolons is read when the job says so. A delimiter of two characters is refused."""
    world = World()
    assert texts(world.rows(job_of(world, "in.csv", b"id;text\n1;a,b\n", format={"delimiter": ";"}))) == ["a,b"]
    body = {"task": "text-classification", "format": {"delimiter": ";;"}}
    assert world.ask("POST", "/v1/jobs", body)[0] == 422


def test_neither_table_nor_queue_holds_a_word_of_a_table() -> None:
    """Without a header, the first row is text of a document. Nothing of it is stored outside the bucket."""
    world = World()
    job = job_of(world, "in.csv", b"canary-9c1e,canary-9c1e\ncanary-9c1e,b\n")
    kept = repr(world.effects.table.query(f"t/local/jobs/{job}").items)
    assert "canary" not in kept + json.dumps(world.ask("GET", f"/v1/jobs/{job}")[1])
