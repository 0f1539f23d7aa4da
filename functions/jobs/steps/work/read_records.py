"""Reads the records of a shard, exactly those that were planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from functions.jobs.records.formats import Columns, Format
from functions.jobs.records.records import Record, RecordLocation, RecordSpan, parse, split_records
from functions.jobs.state import keys
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.storage.contracts import ObjectStore
from shared.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReader:
    """Reads shards from the object of the input bucket, or from their staged bytes in the output bucket."""

    objects: ObjectStore
    input_bucket: str
    output_bucket: str

    def read(self, job: Job, shard: Shard) -> list[Record]:
        """Return a shard's records. Raises NotFound or Conflict when its bytes are gone or have changed."""
        columns = Columns.from_json(shard.columns) if shard.columns else None
        file_format = Format(shard.framing, False, JobSpec.from_json(job.spec).options, columns)
        records = [parse(span, file_format) for span in self._spans(job, shard, file_format)]
        if len(records) != shard.n_records:
            raise Conflict(
                f"got {len(records)} records in bytes {shard.start} to {shard.end}, expected {shard.n_records}"
            )
        return records

    def _spans(self, job: Job, shard: Shard, file_format: Format) -> Iterator[RecordSpan]:
        if shard.oversize:
            return iter([RecordSpan(shard.line, shard.start, shard.end, None)])
        return split_records(self._bytes(job, shard), file_format, RecordLocation(shard.start, shard.line))

    def _bytes(self, job: Job, shard: Shard) -> Iterator[bytes]:
        if shard.staged:
            return self.objects.read(self.output_bucket, keys.staged_key(job.tenant, job.job, shard.shard))
        return self.objects.read(
            self.input_bucket, shard.key, version=shard.version, etag=shard.etag, start=shard.start, end=shard.end
        )
