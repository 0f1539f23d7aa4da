"""Result rows: one for each record, with its answer or its error, in the format that the job asks for.

Pure. Every record becomes exactly one row, in order. Must not know shards, or who answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import DEFAULT_OUTPUT, DELIMITERS, Framing, Output, Problem
from functions.jobs.records.part_files import decode, encode
from functions.jobs.records.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """Where the records of a part come from.

    `key` is that of their object. The first record has these indices in its object and in the job, both from 0.
    """

    key: str
    framing: Framing
    index_in_object: int
    index_in_job: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one record: a value of JSON, the windows and tokens that were read, and whether text was cut."""

    value: object
    n_windows: int = 1
    n_tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """The bytes of a part, and how many of its rows hold an answer and how many an error."""

    data: bytes
    n_ok: int
    n_failed: int


def encode_rows(
    source: RowSource,
    records: Sequence[Record],
    outcomes: Mapping[int, Answer | Problem],
    output: Output = DEFAULT_OUTPUT,
) -> EncodedRows:
    """Encode one row for each record. `outcomes` is by record number; a record with a problem of its own needs none."""
    return _join((_row(source, record, _outcome(record, outcomes)) for record in records), output)


def encode_given_up(
    source: RowSource, n_records: int, problem: Problem, output: Output = DEFAULT_OUTPUT
) -> EncodedRows:
    """Encode the same error row for each of `n_records` records that are given up. They need not be read."""
    records = (Record(source.index_in_object + i, start=0, end=0) for i in range(n_records))
    return _join((_row(source, record, problem) for record in records), output)


def _outcome(record: Record, outcomes: Mapping[int, Answer | Problem]) -> Answer | Problem:
    if record.problem is not None:
        return record.problem
    return outcomes.get(record.index_in_object) or Problem(
        problem_codes.INTERNAL, "no answer came back for this record"
    )


def _row(source: RowSource, record: Record, outcome: Answer | Problem) -> tuple[dict[str, object], bytes]:
    place: dict[str, object] = {"key": source.key}
    if source.framing in DELIMITERS:
        place["row"] = record.index_in_object + 1
    elif source.framing != "document":
        place["line"] = record.index_in_object + 1
    row: dict[str, object] = {
        "index": source.index_in_job + record.index_in_object - source.index_in_object,
        "source": place,
    }
    if record.id is not None:
        row["id"] = record.id
    if isinstance(outcome, Answer):
        whole = row | _answer(outcome)
        if (encoded := _encode(whole)) is not None:
            return whole, encoded
        outcome = Problem(problem_codes.INTERNAL, "the answer holds a number that JSON cannot carry")
    whole = row | {"error": {"code": outcome.code, "detail": outcome.detail}}
    if (encoded := _encode(whole)) is None:
        raise ValueError(f"row {row['index']} cannot be encoded. This is a bug.")
    return whole, encoded


def _answer(answer: Answer) -> dict[str, object]:
    return {
        "result": answer.value, "n_windows": answer.n_windows, "n_tokens": answer.n_tokens,
        "truncated": answer.truncated,
    }  # fmt: skip


def _encode(row: Mapping[str, object]) -> bytes | None:
    """Return a row as a JSON line, or None when it holds NaN, an infinity or a lone surrogate."""
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8") + b"\n"
    except ValueError:
        return None


def _join(rows: Iterable[tuple[dict[str, object], bytes]], output: Output) -> EncodedRows:
    made = list(rows)
    n_failed = sum("error" in row for row, _ in made)
    return EncodedRows(encode(made, output), len(made) - n_failed, n_failed)


def decode_rows(data: bytes, output: Output = DEFAULT_OUTPUT) -> Iterator[dict[str, object]]:
    """Yield the rows of a part object. Tests read parts by it; functions call `part_files.decode` on a stream."""
    return decode([data], output)
