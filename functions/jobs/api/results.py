"""The results of an ended job as signed links: the manifest, and the parts in order, in pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from functions.jobs.api.pages import decode_cursor, encode_cursor
from functions.jobs.api.views import counts_json
from functions.jobs.records.formats import DEFAULT_OUTPUT
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard, from_item
from functions.jobs.storage.contracts import ObjectStore, Table
from shared.errors import Conflict

LINK_EXPIRES_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Lists the parts of jobs, and signs links to them."""

    table: Table
    objects: ObjectStore
    output_bucket: str

    def page(self, job: Job, query: Mapping[str, str], size: int) -> dict[str, object]:
        """Return a page of an ended job's parts. Raises Conflict while the job goes on."""
        if job.state not in state_machine.ENDED:
            raise Conflict(f"job {job.job} is {job.state}; results can be had when it has ended")
        after = decode_cursor(query, keys.SHARD_SORT_KEY)
        page = self.table.query(keys.job_prefix(job.tenant, job.job), prefix="shard/", after=after, limit=size)
        shards = [from_item(Shard, item) for item in page.items]
        output = JobSpec.from_json(job.spec).output if job.spec else DEFAULT_OUTPUT
        return {
            "job": job.job,
            "state": job.state,
            "output": output,
            "counts": counts_json(job),
            "manifest": self._manifest(job),
            "parts": [self._part(job, shard, output) for shard in shards if shard.part_sha256],
            "next": encode_cursor(page.after),
            "links_expire_in_s": LINK_EXPIRES_S,
            **({"error": {"code": job.code, "detail": job.detail}} if job.code else {}),
        }

    def _manifest(self, job: Job) -> dict[str, object] | None:
        if not job.manifest_sha256:
            return None
        key = keys.manifest_key(job.tenant, job.job, job.generation)
        return {"key": key, "sha256": job.manifest_sha256, "url": self._link(key)}

    def _part(self, job: Job, shard: Shard, output: str) -> dict[str, object]:
        key = keys.part_key(job.tenant, job.job, shard.shard, shard.generation, output)
        return {
            "key": key, "sha256": shard.part_sha256, "first_index": shard.record, "records": shard.n_records,
            "succeeded": shard.records_ok, "failed": shard.records_failed, "url": self._link(key),
        }  # fmt: skip

    def _link(self, key: str) -> str:
        return self.objects.sign_get(self.output_bucket, key, expires_s=LINK_EXPIRES_S)
