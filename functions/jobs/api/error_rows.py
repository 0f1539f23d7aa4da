"""The error rows of an ended job, in pages: read from the parts that hold any, and from no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from functions.jobs.api.request_bodies import decode_cursor, encode_cursor
from functions.jobs.records.part_files import decode
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard, from_item
from functions.jobs.storage.aws import Doors
from shared.errors import Conflict

CURSOR = r"shard/[0-9]{8}-[0-9a-f]{12}"
MAX_PARTS = 20  # that one page reads
MAX_PARTS_BYTES = 64 << 20
MAX_LOOKS = 10  # pages of shards that one page looks through
LOOK = 200


def errors_json(job: Job, query: Mapping[str, str], size: int, doors: Doors) -> dict[str, object]:
    """Return a page of an ended job's error rows: whole shards of them until there are `size`, or enough was read.

    Raises Conflict while the job goes on, Unprocessable for a foreign cursor.
    """
    if job.state not in state_machine.ENDED:
        raise Conflict(f"job {job.job} is {job.state}; errors can be had when it has ended")
    found: list[dict[str, object]] = []
    after, n_parts, n_bytes = decode_cursor(query, CURSOR), 0, 0
    for _ in range(MAX_LOOKS):
        page = doors.store.query(keys.job_prefix(job.tenant, job.job), prefix="shard/", after=after, limit=LOOK)
        for shard in (from_item(Shard, item) for item in page.items):
            if shard.records_failed and shard.part_sha256:
                found += _errors(job, shard, doors)
                n_parts, n_bytes = n_parts + 1, n_bytes + shard.part_bytes
            after = f"shard/{shard.shard}"
            if len(found) >= size or n_parts >= MAX_PARTS or n_bytes >= MAX_PARTS_BYTES:
                return _page(job, found, after)
        if page.after is None:
            return _page(job, found, None)
    return _page(job, found, after)


def _page(job: Job, found: list[dict[str, object]], after: str | None) -> dict[str, object]:
    return {"job": job.job, "state": job.state, "errors": found, "next": encode_cursor(after)}


def _errors(job: Job, shard: Shard, doors: Doors) -> Iterator[dict[str, object]]:
    output = JobSpec.from_json(job.spec).output
    key = keys.part_key(job.tenant, job.job, shard.shard, shard.generation, output)
    rows = decode(doors.objects.read(doors.output_bucket, key), output)
    return (row for row in rows if "error" in row)
