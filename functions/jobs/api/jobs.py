"""Creates, starts, lists, cancels, redrives and deletes jobs.

Every read begins with the tenant, so that the id of another tenant's job is unknown. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.api.pages import decode_cursor, encode_cursor
from functions.jobs.api.request_bodies import request_sha256
from functions.jobs.api.views import job_json
from functions.jobs.records.formats import MAX_OBJECT_BYTES
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, Listing, from_item
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.state_machine import MAX_MOVE_TRIES
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.state.webhooks import Webhook, secret_digest
from functions.jobs.steps.delete import delete
from functions.jobs.steps.redrive import redrive
from functions.jobs.storage.contracts import JobQueue, ObjectStore, Table
from functions.jobs.storage.queries import load_job, load_plan
from functions.jobs.storage.webhook_store import WebhookStore
from shared.errors import Conflict, GlossaError, NotFound, Unprocessable

UPLOAD_EXPIRES_S = 3600
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The jobs of all tenants, one tenant at a time. `now_ms` returns epoch milliseconds."""

    table: Table
    objects: ObjectStore
    queue: JobQueue
    webhooks: WebhookStore
    input_bucket: str
    now_ms: Callable[[], int]

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
        """Create a job, or find the one that this token made before; True when it was created now.

        Raises Unprocessable when the token was used for another request, and Conflict when its job was deleted.
        """
        job_id = keys.job_id_of_token(tenant, token) if token else keys.new_job_id()
        hook = (webhook.url, secret_digest(webhook.secret, tenant, job_id)) if webhook else ()
        now_ms = self.now_ms()
        job = Job(
            tenant=tenant,
            job=job_id,
            state=state_machine.CREATED,
            source=source,
            spec=spec.to_json(),
            names=names,
            request_sha256=request_sha256(spec, (source, *names, *hook)),
            created_ms=now_ms,
            expires_at=now_ms // 1000 + state_machine.RETENTION_S,
        )
        known = load_job(self.table, tenant, job_id) if token and webhook else None
        if known is None:
            try:
                self._write_new(job, webhook)
            except ConditionFailed:
                known = load_job(self.table, tenant, job_id)
            else:
                return job, True
        if known is not None and known.state not in state_machine.GONE:
            if known.request_sha256 == job.request_sha256:
                return known, False
            refused = "got an Idempotency-Key that was used with another body, expected a new key or that body"
            error: GlossaError = Unprocessable(refused)
        else:
            error = Conflict("got an Idempotency-Key whose job was deleted, expected a new key")
        if webhook is not None:
            self.webhooks.remove(job)
        raise error

    def _write_new(self, job: Job, webhook: Webhook | None) -> None:
        if webhook is not None:  # before the job, so that a job that asked for a webhook is never without it
            self.webhooks.keep(job, webhook)
        self.table.write(*state_machine.create(job))

    def uploads(self, job: Job) -> list[dict[str, object]]:
        """Return a signed upload for each file of a job that was not started yet; nothing later."""
        if job.state != state_machine.CREATED or job.source != "api":
            return []
        return [self._upload(job, name) for name in job.names]

    def start(self, tenant: str, job_id: str) -> Job:
        """Have a job planned and run. Raises Conflict when uploads are missing or the job has ended."""
        job = self.get(tenant, job_id)
        if job.state == state_machine.CREATED:
            if job.source == "api":
                self._require_uploads(job)
            job = self._move(job, state_machine.SUBMITTED)
        if job.state in state_machine.ENDED or job.state == state_machine.CANCELLING:
            raise Conflict(f"job {job_id} is {job.state}, expected {state_machine.CREATED}")
        if job.state == state_machine.SUBMITTED:  # an earlier call may have ended before it sent this
            self.queue.send([QueueMessage("plan", tenant, job_id)])
        return job

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Stop a job. No shard is committed after this. Raises Conflict when it is closing or has ended otherwise."""
        job = self.get(tenant, job_id)
        for _ in range(MAX_MOVE_TRIES):
            if job.state in {state_machine.CANCELLED, state_machine.CANCELLING}:
                break
            with suppress(ConditionFailed):
                self.table.write(state_machine.cancel(job, self.now_ms()))
            job = self.get(tenant, job_id)
        if job.state == state_machine.CANCELLING or state_machine.must_announce(job):
            self.queue.send([QueueMessage("finalize", tenant, job_id)])
        if job.state not in {state_machine.CANCELLING, state_machine.CANCELLED}:
            raise Conflict(
                f"job {job_id} moved on {MAX_MOVE_TRIES} times while it was being cancelled, expected it to stand still"
            )
        return job

    def redrive(self, tenant: str, job_id: str, *, generation: int | None = None) -> tuple[Job, bool]:
        """Have the failed records of an ended job answered again; True when this call began it."""
        return redrive(tenant, job_id, table=self.table, queue=self.queue, now_ms=self.now_ms, generation=generation)

    def delete(self, tenant: str, job_id: str) -> Job:
        """Delete a job with its uploads and results. See `steps/delete.py`."""
        return delete(tenant, job_id, table=self.table, queue=self.queue, now_ms=self.now_ms)

    def get(self, tenant: str, job_id: str) -> Job:
        """Return a tenant's job. Raises the same NotFound for every other id."""
        job = load_job(self.table, tenant, job_id) if keys.JOB.fullmatch(job_id) else None
        if job is None or job.state in state_machine.GONE:
            raise NotFound(f"no job {job_id[:40]!r}")
        return job

    def status(self, tenant: str, job_id: str) -> dict[str, object]:
        """Return a job's status as its owner sees it."""
        job = self.get(tenant, job_id)
        plan = load_plan(self.table, job) if job.state == state_machine.PLANNING else None
        return job_json(job, self.now_ms(), plan)

    def page(self, tenant: str, query: Mapping[str, str], size: int) -> dict[str, object]:
        """Return a page of a tenant's jobs, the newest first."""
        after = decode_cursor(query, r"[0-9]{14}/[0-9a-f]{32}")
        page = self.table.query(keys.jobs_partition(tenant), after=after, limit=size, newest_first=True)
        ids = [from_item(Listing, item).job for item in page.items]
        found = self.table.get_many([keys.job_item(tenant, job) for job in ids]) if ids else []
        now_ms = self.now_ms()
        known = [from_item(Job, item) for item in found if item is not None]
        jobs = [job_json(job, now_ms) for job in known if job.state not in state_machine.GONE]
        return {"jobs": jobs, "next": encode_cursor(page.after)}

    def _upload(self, job: Job, name: str) -> dict[str, object]:
        key = keys.input_prefix(job.tenant, job.job) + name
        bucket = self.input_bucket
        post = self.objects.sign_post(bucket, key, max_bytes=MAX_OBJECT_BYTES, expires_s=UPLOAD_EXPIRES_S)
        return {
            "name": name, "method": "POST", "url": post.url, "fields": dict(post.fields),
            "max_bytes": MAX_OBJECT_BYTES, "expires_in_s": UPLOAD_EXPIRES_S,
        }  # fmt: skip

    def _require_uploads(self, job: Job) -> None:
        prefix = keys.input_prefix(job.tenant, job.job)
        listed = self.objects.list(self.input_bucket, prefix, limit=MAX_LISTED)
        uploaded = {stored.key.removeprefix(prefix) for stored in listed.objects}
        missing = [name for name in job.names if name not in uploaded]
        if missing and not listed.more:
            count = f"{len(job.names) - len(missing)} of {len(job.names)} files uploaded"
            raise Conflict(f"got {count}, expected all; missing: {', '.join(map(repr, missing[:10]))}")

    def _move(self, job: Job, to: str) -> Job:
        with suppress(ConditionFailed):  # the same request or a cancel was first; the job says which
            self.table.write(state_machine.move(job, to, self.now_ms()))
        return self.get(job.tenant, job.job)
