"""Result rows: one per record, an answer or an error, in the form that the job asks for.

Pure. Every record of a shard becomes exactly one row, in order. Must not know who answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from functions.jobs.records.formats import DELIMITERS, Output, Problem
from functions.jobs.records.part_files import decode, encode
from functions.jobs.records.records import Record
from functions.jobs.state.items import Shard


@dataclass(frozen=True, slots=True)
class Answer:
    """What one record got: a JSON-ready value, and how it was read."""

    value: object
    n_windows: int = 1
    n_tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a shard as the bytes of its part, counted."""

    data: bytes
    n_ok: int
    n_failed: int


def encode_rows(
    shard: Shard, records: Sequence[Record], outcomes: Mapping[int, Answer | Problem], output: Output = "jsonl"
) -> Rows:
    """Encode a shard's records; `outcomes` by record index, absent where the record has its own problem."""
    return _join((_row(shard, record, _outcome(record, outcomes)) for record in records), output)


def encode_given_up(shard: Shard, problem: Problem, output: Output = "jsonl") -> Rows:
    """Encode one error row per record of a shard that nobody could answer, without reading it."""
    records = (Record(shard.line + i, shard.start, shard.end) for i in range(shard.n_records))
    return _join((_row(shard, record, problem) for record in records), output)


def _outcome(record: Record, outcomes: Mapping[int, Answer | Problem]) -> Answer | Problem:
    if record.problem is not None:
        return record.problem
    return outcomes.get(record.index) or Problem("internal", "no answer came back for this record")


def _row(shard: Shard, record: Record, outcome: Answer | Problem) -> tuple[dict[str, object], bytes]:
    source: dict[str, object] = {"key": shard.key}
    if shard.framing in DELIMITERS:
        source["row"] = record.index + 1
    elif shard.framing != "document":
        source["line"] = record.index + 1
    row: dict[str, object] = {"index": shard.record + record.index - shard.line, "source": source}
    if record.id is not None:
        row["id"] = record.id
    if isinstance(outcome, Answer):
        whole = row | _answer(outcome)
        if (encoded := _encode(whole)) is not None:
            return whole, encoded
        outcome = Problem("internal", "the answer holds a number that JSON cannot carry")
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
    """Return a row's line, or None when it holds NaN, an infinity or a lone surrogate."""
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8") + b"\n"
    except ValueError:
        return None


def _join(rows: Iterable[tuple[dict[str, object], bytes]], output: Output) -> Rows:
    made = list(rows)
    n_failed = sum("error" in row for row, _ in made)
    return Rows(encode(made, output), len(made) - n_failed, n_failed)


def decode_rows(data: bytes, output: Output = "jsonl") -> Iterator[dict[str, object]]:
    """Yield the rows of a part object."""
    return decode([data], output)
