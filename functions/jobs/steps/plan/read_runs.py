"""Reads the rest of an input, from where planning goes on, as runs of records. Raises problems of whole objects.

A plain object is read by range. A compressed one is decoded from its beginning. Nobody can read a range of it, so the
decoded bytes of each shard are staged in the output bucket.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from functions.jobs.records import problem_codes
from functions.jobs.records.csv_tables import HEADER_BYTES, find_columns
from functions.jobs.records.formats import (
    MAX_OBJECT_BYTES,
    Columns,
    Format,
    FormatOptions,
    Framing,
    ObjectProblem,
    check_head,
    format_of,
)
from functions.jobs.records.gunzip import gunzip
from functions.jobs.records.records import RecordLocation, RecordSpan, RecordSplitter, split_records
from functions.jobs.records.shard_runs import Run, ShardLimits, group_into_runs
from functions.jobs.state import keys
from functions.jobs.state.items import Input, Job, PlanProgress, Shard
from functions.jobs.storage.contracts import ObjectStore
from shared.content_types import BINARY_TYPE
from shared.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class InputRuns:
    """The runs of the rest of an input, their framing, whether their bytes must be staged, and the columns of CSV."""

    runs: Iterator[Run]
    framing: Framing
    staged: bool
    columns: Columns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReader:
    """Reads inputs from the input bucket, and stages decoded bytes in the output bucket."""

    objects: ObjectStore
    input_bucket: str
    output_bucket: str

    def read(self, source: Input, plan: PlanProgress, options: FormatOptions, task_names: Collection[str]) -> InputRuns:
        """Open an input where planning goes on. Raises ObjectProblem, now or while the runs are taken.

        `task_names` are the names that the job's task gives its inputs.
        """
        if source.size_bytes > MAX_OBJECT_BYTES:
            raise ObjectProblem(
                problem_codes.TOO_LARGE, f"got an object of {source.size_bytes} bytes, at most {MAX_OBJECT_BYTES}"
            )
        file_format = format_of(source.key.rsplit("/", 1)[-1], options)
        start, columns = plan.offset, None
        if file_format.delimiter:
            header = self._header(source, file_format)
            start, columns = max(start, header.end), find_columns(header.raw or b"", file_format, task_names)
        chunks = _as_problems(self._decoded(source, start, file_format))
        if plan.offset == 0:
            chunks = _checked(chunks, "a header and no row" if columns else "an object of 0 bytes")
        spans = split_records(chunks, file_format, RecordLocation(start, plan.line))
        runs = group_into_runs(spans, ShardLimits(plan.max_records, plan.max_chars))
        return InputRuns(runs, file_format.framing, file_format.gzip, columns)

    def stage(self, job: Job, shard: Shard, run: Run) -> None:
        """Write the decoded bytes of a run where its worker can read them. A repeated call writes the same bytes."""
        if run.oversize:
            return
        data = b"".join(span.raw or b"" for span in run.spans)
        key = keys.staged_key(job.tenant, job.job, shard.shard)
        metadata = {"sha256": hashlib.sha256(data).hexdigest()}
        self.objects.put_new(self.output_bucket, key, data, content_type=BINARY_TYPE, metadata=metadata)

    def _header(self, source: Input, file_format: Format) -> RecordSpan:
        """Return the first row of CSV or TSV. Raises ObjectProblem when there is none, or when it is too long."""
        splitter = RecordSplitter(file_format, max_record_bytes=HEADER_BYTES)
        n_bytes_read = 0
        for chunk in _checked(
            _as_problems(self._decoded(source, 0, file_format, HEADER_BYTES)), "an object of 0 bytes"
        ):
            if (span := next(splitter.feed(chunk), None)) is not None:
                return _header_span(span)
            if (n_bytes_read := n_bytes_read + len(chunk)) >= HEADER_BYTES:
                break
        span = next(splitter.close(), None)
        return _header_span(span if n_bytes_read < HEADER_BYTES else None)

    def _decoded(self, source: Input, offset: int, file_format: Format, n_bytes: int | None = None) -> Iterator[bytes]:
        """Yield the decoded bytes from `offset` on. Of a plain object, at most `n_bytes` are read."""
        bucket = self.input_bucket
        if not file_format.gzip:
            if offset and offset == source.size_bytes:
                return iter(())  # S3 refuses a range that begins where its object ends
            end = None if n_bytes is None or source.size_bytes <= offset + n_bytes else offset + n_bytes
            return self.objects.read(
                bucket, source.key, version=source.version, etag=source.etag, start=offset, end=end
            )
        packed = self.objects.read(bucket, source.key, version=source.version, etag=source.etag)
        return _skip(gunzip(packed, MAX_OBJECT_BYTES), offset)


def _header_span(span: RecordSpan | None) -> RecordSpan:
    if span is None or span.raw is None:
        raise ObjectProblem(
            problem_codes.WRONG_HEADER, f"got a first row of {HEADER_BYTES} bytes or more, expected a header"
        )
    return span


def _skip(chunks: Iterable[bytes], n_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) > n_bytes:
            yield chunk[n_bytes:]
        n_bytes = max(0, n_bytes - len(chunk))


def _checked(chunks: Iterator[bytes], nothing: str) -> Iterator[bytes]:
    """Yield the chunks. Raises ObjectProblem when the first is not text, or when there is none (`nothing`)."""
    head = next(chunks, b"")
    check_head(head, nothing)
    return chain((head,), chunks)


def _as_problems(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks. Raises ObjectProblem when the object was deleted or changed."""
    try:
        yield from chunks
    except NotFound:
        raise ObjectProblem(problem_codes.NOT_FOUND, "the object was deleted before it was read") from None
    except Conflict as error:
        raise ObjectProblem(problem_codes.CHANGED, error.message) from None
