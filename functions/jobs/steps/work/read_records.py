"""A shard's bytes -> its records, exactly those that were planned."""

from __future__ import annotations

from collections.abc import Iterator

from functions.jobs.records.formats import Columns, Format
from functions.jobs.records.records import Record, RecordLocation, RecordSpan, cut, parse
from functions.jobs.state import keys
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.storage.aws import Doors
from shared.errors import Conflict


def read_records(job: Job, shard: Shard, doors: Doors) -> list[Record]:
    """Read a shard. Raises NotFound or Conflict when its bytes are gone or are not those that were planned."""
    columns = Columns.from_json(shard.columns) if shard.columns else None
    how = Format(shard.framing, False, JobSpec.from_json(job.spec).options, columns)
    frames = _frames(job, shard, how, doors)
    records = [parse(frame, how) for frame in frames]
    if len(records) != shard.n_records:
        raise Conflict(f"got {len(records)} records in bytes {shard.start} to {shard.end}, expected {shard.n_records}")
    return records


def _frames(job: Job, shard: Shard, how: Format, doors: Doors) -> Iterator[RecordSpan]:
    if shard.oversize:
        return iter([RecordSpan(shard.line, shard.start, shard.end, None)])
    return cut(_bytes(job, shard, doors), how, RecordLocation(shard.start, shard.line))


def _bytes(job: Job, shard: Shard, doors: Doors) -> Iterator[bytes]:
    if shard.staged:
        return doors.objects.read(doors.output_bucket, keys.staged_key(job.tenant, job.job, shard.shard))
    return doors.objects.read(
        doors.input_bucket, shard.key, version=shard.version, etag=shard.etag, start=shard.start, end=shard.end
    )
