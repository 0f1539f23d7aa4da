"""A job's results, by signed links: the manifest, and the parts in order, in pages."""

from __future__ import annotations

from collections.abc import Mapping

from functions.jobs.api.request_bodies import decode_cursor, encode_cursor
from functions.jobs.api.views import counts_json
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard, from_item
from functions.jobs.storage.aws import Doors
from shared.errors import Conflict

LINK_EXPIRES_S = 3600


def results_json(job: Job, query: Mapping[str, str], size: int, doors: Doors) -> dict[str, object]:
    """Return a page of an ended job's parts. Raises Conflict while it goes on."""
    if job.state not in state_machine.ENDED:
        raise Conflict(f"job {job.job} is {job.state}; results can be had when it has ended")
    after = decode_cursor(query, r"shard/[0-9]{8}-[0-9a-f]{12}")
    page = doors.store.query(keys.job_prefix(job.tenant, job.job), prefix="shard/", after=after, limit=size)
    shards = [from_item(Shard, item) for item in page.items]
    output = JobSpec.from_json(job.spec).output if job.spec else "jsonl"
    return {
        "job": job.job,
        "state": job.state,
        "output": output,
        "counts": counts_json(job),
        "manifest": _manifest(job, doors),
        "parts": [_part(job, shard, output, doors) for shard in shards if shard.part_sha256],
        "next": encode_cursor(page.after),
        "links_expire_in_s": LINK_EXPIRES_S,
        **({"error": {"code": job.code, "detail": job.detail}} if job.code else {}),
    }


def _manifest(job: Job, doors: Doors) -> dict[str, object] | None:
    if not job.manifest_sha256:
        return None
    key = keys.manifest_key(job.tenant, job.job, job.generation)
    return {"key": key, "sha256": job.manifest_sha256, "url": _link(key, doors)}


def _part(job: Job, shard: Shard, output: str, doors: Doors) -> dict[str, object]:
    key = keys.part_key(job.tenant, job.job, shard.shard, shard.generation, output)
    return {
        "key": key, "sha256": shard.part_sha256, "first_index": shard.record, "records": shard.n_records,
        "succeeded": shard.records_ok, "failed": shard.records_failed, "url": _link(key, doors),
    }  # fmt: skip


def _link(key: str, doors: Doors) -> str:
    return doors.objects.sign_get(doors.output_bucket, key, expires_s=LINK_EXPIRES_S)
