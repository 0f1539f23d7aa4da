"""The error rows of an ended job, in pages. Only parts that hold an error row are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from functions.jobs.api.pages import decode_cursor, encode_cursor
from functions.jobs.records.part_files import decode
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard, from_item
from functions.jobs.storage.contracts import ObjectStore, Table
from shared.errors import Conflict

MAX_PARTS = 20  # read for one page
MAX_PARTS_BYTES = 64 << 20  # read for one page
MAX_QUERIES = 10  # of shards, for one page
QUERY_SHARDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRows:
    """Reads the error rows of jobs from their parts."""

    table: Table
    objects: ObjectStore
    output_bucket: str

    def page(self, job: Job, query: Mapping[str, str], size: int) -> dict[str, object]:
        """Return a page of an ended job's error rows.

        All error rows of a shard are on the same page. The page ends when it has `size` rows, or when enough was read.
        Raises Conflict while the job goes on, and Unprocessable for a cursor that is not ours.
        """
        if job.state not in state_machine.ENDED:
            raise Conflict(f"job {job.job} is {job.state}; errors can be had when it has ended")
        found: list[dict[str, object]] = []
        after, n_parts, n_bytes = decode_cursor(query, keys.SHARD_SORT_KEY), 0, 0
        partition = keys.job_prefix(job.tenant, job.job)
        for _ in range(MAX_QUERIES):
            page = self.table.query(partition, prefix="shard/", after=after, limit=QUERY_SHARDS)
            for shard in (from_item(Shard, item) for item in page.items):
                if shard.records_failed and shard.part_sha256:
                    found += self._errors(job, shard)
                    n_parts, n_bytes = n_parts + 1, n_bytes + shard.part_bytes
                after = f"shard/{shard.shard}"
                if len(found) >= size or n_parts >= MAX_PARTS or n_bytes >= MAX_PARTS_BYTES:
                    return _page(job, found, after)
            if page.after is None:
                return _page(job, found, None)
        return _page(job, found, after)

    def _errors(self, job: Job, shard: Shard) -> Iterator[dict[str, object]]:
        output = JobSpec.from_json(job.spec).output
        key = keys.part_key(job.tenant, job.job, shard.shard, shard.generation, output)
        rows = decode(self.objects.read(self.output_bucket, key), output)
        return (row for row in rows if "error" in row)


def _page(job: Job, found: list[dict[str, object]], after: str | None) -> dict[str, object]:
    return {"job": job.job, "state": job.state, "errors": found, "next": encode_cursor(after)}
