"""Result rows: one for each record, in order, with its answer or its error."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.records.formats import Problem
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer, RowSource, decode_rows, encode_given_up, encode_rows

SOURCE = RowSource(key="k", framing="jsonl", index_in_object=0, index_in_job=0)
LATER = replace(SOURCE, index_in_object=10, index_in_job=1000)
PROBLEM = Problem("broken-json", "got a line that is not JSON")
RECORDS = [Record(10, 0, 3, "a", id="x"), Record(11, 3, 6, problem=PROBLEM, id=5), Record(12, 6, 9, "c")]


def test_rows_of_answers_and_errors() -> None:
    """A row has the record's number in the job, its source, its id, and an answer or an error."""
    rows = encode_rows(LATER, RECORDS, {10: Answer([{"label": "ü", "score": 0.5}], 2, 9, True), 12: Problem("c", "d")})
    assert (rows.n_ok, rows.n_failed) == (1, 2)
    assert list(decode_rows(rows.data)) == [
        {"index": 1000, "source": {"key": "k", "line": 11}, "id": "x", "result": [{"label": "ü", "score": 0.5}],
         "n_windows": 2, "n_tokens": 9, "truncated": True},
        {"index": 1001, "source": {"key": "k", "line": 12}, "id": 5,
         "error": {"code": "broken-json", "detail": "got a line that is not JSON"}},
        {"index": 1002, "source": {"key": "k", "line": 13}, "error": {"code": "c", "detail": "d"}},
    ]  # fmt: skip


def test_a_document_has_no_line() -> None:
    """The source of a document is its object alone."""
    rows = encode_rows(replace(SOURCE, framing="document"), [Record(0, 0, 9, "a")], {0: Answer(1)})
    assert next(decode_rows(rows.data))["source"] == {"key": "k"}


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": "\ud800"}])
def test_an_answer_that_json_cannot_carry_is_an_error_row(value: object) -> None:
    """NaN, infinities and broken text never reach a part."""
    rows = encode_rows(LATER, RECORDS[:1], {10: Answer(value)})
    assert rows.n_failed == 1
    assert next(decode_rows(rows.data))["error"]["code"] == "internal"  # type: ignore[index] # rows are JSON of any shape


def test_a_record_without_outcome_is_an_error_row() -> None:
    """A record without an answer still has a row."""
    assert encode_rows(LATER, RECORDS[:1], {}).n_failed == 1


def test_a_shard_given_up_has_a_row_for_each_record() -> None:
    """Each record gets its number, its line and the reason, though the shard is not read."""
    rows = list(decode_rows(encode_given_up(LATER, 3, Problem("given-up", "why")).data))
    assert [row["index"] for row in rows] == [1000, 1001, 1002]
    assert [row["source"] for row in rows] == [{"key": "k", "line": line} for line in (11, 12, 13)]
    assert {str(row["error"]) for row in rows} == {"{'code': 'given-up', 'detail': 'why'}"}


@given(st.lists(st.text(max_size=5) | st.integers() | st.floats() | st.none(), min_size=1, max_size=20))
def test_any_answers_give_as_many_lines(values: list[object]) -> None:
    """For any answers, also with line ends, the number of lines and the counts are exact."""
    records = [Record(i, i, i + 1, "a") for i in range(len(values))]
    rows = encode_rows(SOURCE, records, dict(enumerate(map(Answer, values))))
    assert rows.data.count(b"\n") == len(values) == rows.n_ok + rows.n_failed
    assert [row["index"] for row in decode_rows(rows.data)] == list(range(len(values)))
