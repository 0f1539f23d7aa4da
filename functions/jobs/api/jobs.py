"""What the jobs API does: jobs made, started, watched and cancelled, by the machine's writes.

Every reading begins with the tenant, so that a foreign id is an unknown id. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from functions.jobs.api.request_bodies import decode_cursor, encode_cursor, request_sha256
from functions.jobs.api.views import job_json
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, Listing, from_item, to_item
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import ConditionFailed, Put, Write
from functions.jobs.state.webhooks import Webhook
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import load_job, load_plan
from shared.errors import Conflict, NotFound, Unprocessable

UPLOAD_EXPIRES_S = 3600
MAX_UPLOAD_BYTES = 5 << 30
MOVES = 3  # tries to move a job that others move too
LIST_MOST = 1000


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of all tenants, one tenant at a time."""

    doors: Doors

    def create(
        self,
        tenant: str,
        spec: JobSpec,
        names: tuple[str, ...],
        token: str,
        *,
        source: str = "api",
        webhook: Webhook | None = None,
    ) -> tuple[Job, bool]:
        """Make a job, or find the one that this token made; True when made now.

        Raises Unprocessable when the token was used for another request, Conflict when its job was deleted.
        """
        now_ms = self.doors.now_ms()
        told = (webhook.url, webhook.secret) if webhook else ()
        digest = request_sha256(spec, (source, *names, *told))
        job = Job(
            tenant=tenant,
            job=keys.job_id_of_token(tenant, token) if token else keys.new_job_id(),
            state=state_machine.CREATED,
            source=source,
            spec=spec.to_json(),
            names=names,
            request_sha256=digest,
            created_ms=now_ms,
            expires_at=now_ms // 1000 + state_machine.RETENTION_S,
        )
        try:
            self.doors.store.write(*state_machine.create(job), *_webhook(job, webhook))
        except ConditionFailed:
            known = load_job(self.doors.store, tenant, job.job)
        else:
            return job, True
        if known is None or known.state in state_machine.GONE:
            raise Conflict("got an Idempotency-Key whose job was deleted, expected a new key")
        if known.request_sha256 != digest:
            raise Unprocessable(
                "got an Idempotency-Key that was used with another body, expected a new key or that body"
            )
        return known, False

    def uploads(self, job: Job) -> list[dict[str, object]]:
        """Return one signed upload per file of a job that waits for them; none later."""
        if job.state != state_machine.CREATED or job.source != "api":
            return []
        return [self._upload(job, name) for name in job.names]

    def start(self, tenant: str, job_id: str) -> Job:
        """Hand a job's uploads to the planner. Raises Conflict when some are missing or the job has ended."""
        job = self.get(tenant, job_id)
        if job.state == state_machine.CREATED:
            if job.source == "api":
                self._require_uploads(job)
            job = self._move(job, state_machine.SUBMITTED)
        if job.state in state_machine.ENDED or job.state == state_machine.CANCELLING:
            raise Conflict(f"job {job_id} is {job.state}, expected {state_machine.CREATED}")
        if job.state == state_machine.SUBMITTED:  # also when an earlier start was cut off before it sent this
            self.doors.queue.send([QueueMessage("plan", tenant, job_id)])
        return job

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Stop a job; no shard is counted after this. Raises Conflict when it has ended otherwise or is closing."""
        job = self.get(tenant, job_id)
        for _ in range(MOVES):
            if job.state in {state_machine.CANCELLED, state_machine.CANCELLING}:
                break
            with suppress(ConditionFailed):
                self.doors.store.write(state_machine.cancel(job, self.doors.now_ms()))
            job = self.get(tenant, job_id)
        if job.state == state_machine.CANCELLING or state_machine.to_announce(job):
            self.doors.queue.send([QueueMessage("finalize", tenant, job_id)])
        if job.state not in {state_machine.CANCELLING, state_machine.CANCELLED}:
            raise Conflict(
                f"job {job_id} moved on {MOVES} times while it was being cancelled, expected it to stand still"
            )
        return job

    def get(self, tenant: str, job_id: str) -> Job:
        """Return a tenant's job. Raises NotFound, for every other id alike."""
        job = load_job(self.doors.store, tenant, job_id) if keys.JOB.fullmatch(job_id) else None
        if job is None or job.state in state_machine.GONE:
            raise NotFound(f"no job {job_id[:40]!r}")
        return job

    def status(self, tenant: str, job_id: str) -> dict[str, object]:
        """Return a job as its owner sees it."""
        job = self.get(tenant, job_id)
        plan = load_plan(self.doors.store, job) if job.state == state_machine.PLANNING else None
        return job_json(job, self.doors.now_ms(), plan)

    def page(self, tenant: str, query: Mapping[str, str], size: int) -> dict[str, object]:
        """Return a page of a tenant's jobs, the newest first."""
        after = decode_cursor(query, r"[0-9]{14}/[0-9a-f]{32}")
        page = self.doors.store.query(keys.jobs_partition(tenant), after=after, limit=size, newest_first=True)
        ids = [from_item(Listing, item).job for item in page.items]
        found = self.doors.store.get_many([keys.job_item(tenant, job) for job in ids]) if ids else []
        now_ms = self.doors.now_ms()
        there = [from_item(Job, item) for item in found if item is not None]
        jobs = [job_json(job, now_ms) for job in there if job.state not in state_machine.GONE]
        return {"jobs": jobs, "next": encode_cursor(page.after)}

    def _upload(self, job: Job, name: str) -> dict[str, object]:
        key = keys.input_prefix(job.tenant, job.job) + name
        bucket = self.doors.input_bucket
        post = self.doors.objects.sign_post(bucket, key, max_bytes=MAX_UPLOAD_BYTES, expires_s=UPLOAD_EXPIRES_S)
        return {
            "name": name, "method": "POST", "url": post.url, "fields": dict(post.fields),
            "max_bytes": MAX_UPLOAD_BYTES, "expires_in_s": UPLOAD_EXPIRES_S,
        }  # fmt: skip

    def _require_uploads(self, job: Job) -> None:
        prefix = keys.input_prefix(job.tenant, job.job)
        listed = self.doors.objects.list(self.doors.input_bucket, prefix, limit=LIST_MOST)
        there = {stored.key.removeprefix(prefix) for stored in listed.objects}
        missing = [name for name in job.names if name not in there]
        if missing and not listed.more:
            count = f"{len(job.names) - len(missing)} of {len(job.names)} files uploaded"
            raise Conflict(f"got {count}, expected all; missing: {', '.join(map(repr, missing[:10]))}")

    def _move(self, job: Job, to: str) -> Job:
        with suppress(ConditionFailed):  # a twin of this request was first, or a cancel: what is there now tells
            self.doors.store.write(state_machine.move(job, to, self.doors.now_ms()))
        return self.get(job.tenant, job.job)


def _webhook(job: Job, webhook: Webhook | None) -> tuple[Write, ...]:
    if webhook is None:
        return ()
    kept = replace(webhook, expires_at=job.expires_at)
    return (Put(keys.webhook_item(job.tenant, job.job), to_item(kept)),)
