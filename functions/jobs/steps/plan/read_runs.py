"""An input's bytes -> runs of records, from the planner's checkpoint on; problems of whole objects end here.

Plain objects are read by range. Compressed ones are decoded from their beginning, and the
decoded bytes of each shard are staged, because nobody can read a range of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from functions.jobs.records.csv_tables import HEADER_BYTES, find_columns
from functions.jobs.records.formats import Columns, Format, FormatOptions, Framing, ObjectProblem, check_head, format_of
from functions.jobs.records.gunzip import gunzip
from functions.jobs.records.records import RecordLocation, RecordSpan, RecordSplitter, cut
from functions.jobs.records.shard_runs import Run, ShardLimits, runs
from functions.jobs.state import keys
from functions.jobs.state.items import Input, Job, Plan, Shard
from functions.jobs.storage.aws import Doors
from shared.errors import Conflict, NotFound

MAX_OBJECT_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Found:
    """The runs of the rest of an input, how its records are framed, whether they must be staged, a table's columns."""

    runs: Iterator[Run]
    framing: Framing
    staged: bool
    columns: Columns | None = None


def read_runs(source: Input, plan: Plan, options: FormatOptions, task_names: Collection[str], doors: Doors) -> Found:
    """Open an input at the checkpoint. Raises ObjectProblem, here or while the runs are taken."""
    if source.size_bytes > MAX_OBJECT_BYTES:
        raise ObjectProblem("too-large", f"got an object of {source.size_bytes} bytes, at most {MAX_OBJECT_BYTES}")
    how = format_of(source.key.rsplit("/", 1)[-1], options)
    start, columns = plan.offset, None
    if how.delimiter:
        header = _header(source, how, doors)
        start, columns = max(start, header.end), find_columns(header.raw or b"", how, task_names)
    chunks = _translated(_decoded(source, start, how, doors))
    if plan.offset == 0:
        chunks = _checked(chunks, "a header and no row" if columns else "an object of 0 bytes")
    frames = cut(chunks, how, RecordLocation(start, plan.line))
    return Found(runs(frames, ShardLimits(plan.max_records, plan.max_chars)), how.framing, how.gzip, columns)


def _header(source: Input, how: Format, doors: Doors) -> RecordSpan:
    """Return the first row of a table. Raises ObjectProblem when there is none, or none of a header's size."""
    cutter = RecordSplitter(how, max_record_bytes=HEADER_BYTES)
    n_read = 0
    for chunk in _checked(_translated(_decoded(source, 0, how, doors, HEADER_BYTES)), "an object of 0 bytes"):
        if (frame := next(cutter.feed(chunk), None)) is not None:
            return _whole(frame)
        if (n_read := n_read + len(chunk)) >= HEADER_BYTES:
            break
    frame = next(cutter.close(), None)
    return _whole(frame if n_read < HEADER_BYTES else None)


def _whole(frame: RecordSpan | None) -> RecordSpan:
    if frame is None or frame.raw is None:
        raise ObjectProblem("wrong-header", f"got a first row of {HEADER_BYTES} bytes or more, expected a header")
    return frame


def stage(job: Job, shard: Shard, run: Run, doors: Doors) -> None:
    """Keep the decoded bytes of a run where its worker can read them. Written before: the same bytes."""
    if run.oversize:
        return
    data = b"".join(frame.raw or b"" for frame in run.frames)
    key = keys.staged_key(job.tenant, job.job, shard.shard)
    digest = hashlib.sha256(data).hexdigest()
    doors.objects.put_new(
        doors.output_bucket, key, data, content_type="application/octet-stream", metadata={"sha256": digest}
    )


def _decoded(source: Input, offset: int, how: Format, doors: Doors, n_bytes: int | None = None) -> Iterator[bytes]:
    """Yield the decoded bytes from `offset` on; of a plain object, of which that is possible, `n_bytes` at most."""
    bucket = doors.input_bucket
    if not how.gzip:
        if offset and offset == source.size_bytes:
            return iter(())  # a range that begins where its object ends is refused
        end = None if n_bytes is None or source.size_bytes <= offset + n_bytes else offset + n_bytes
        return doors.objects.read(bucket, source.key, version=source.version, etag=source.etag, start=offset, end=end)
    packed = doors.objects.read(bucket, source.key, version=source.version, etag=source.etag)
    return _skip(gunzip(packed, MAX_OBJECT_BYTES), offset)


def _skip(chunks: Iterable[bytes], n_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) > n_bytes:
            yield chunk[n_bytes:]
        n_bytes = max(0, n_bytes - len(chunk))


def _checked(chunks: Iterator[bytes], nothing: str) -> Iterator[bytes]:
    head = next(chunks, b"")
    check_head(head, nothing)
    return chain((head,), chunks)


def _translated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except NotFound:
        raise ObjectProblem("not-found", "the object was deleted before it was read") from None
    except Conflict as error:
        raise ObjectProblem("changed", error.message) from None
