"""Deletes a job: its uploads, staged bytes, parts and manifests, its webhook, and all its items except its own.

Has two halves. `delete` is the API's: it moves the job to DELETING and asks for the rest. `Eraser` is the finalizer's:
it removes things, and again when no function that knew the job can still run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job
from functions.jobs.state.keys import Key
from functions.jobs.state.leases import FUNCTION_TIMEOUT_MS
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.state_machine import MAX_MOVE_TRIES
from functions.jobs.state.transactions import ConditionFailed, Delete
from functions.jobs.steps.sqs_handler import RetryLater
from functions.jobs.storage.contracts import JobQueue, ObjectStore, Table
from functions.jobs.storage.queries import load_job
from functions.jobs.storage.webhook_store import WebhookStore
from shared.errors import Conflict, NotFound
from shared.log import log_event

PAGE_ITEMS = 50  # removed by one transaction
MAX_PAGES = 4_000  # of objects under one prefix, or of items, in one run
FUNCTION_LIFE_MS = FUNCTION_TIMEOUT_MS + 60_000  # after this time, no function is left that read the job before


def delete(tenant: str, job_id: str, *, table: Table, queue: JobQueue, now_ms: Callable[[], int]) -> Job:
    """Delete a job with its uploads and results. For every caller it is unknown from now on.

    May be repeated. Raises NotFound, and Conflict while the job goes on: it must be cancelled first. An object in an
    inbox belongs to its owner, and stays.
    """
    for _ in range(MAX_MOVE_TRIES):
        job = load_job(table, tenant, job_id) if keys.JOB.fullmatch(job_id) else None
        if job is None:
            raise NotFound(f"no job {job_id[:40]!r}")
        if job.state not in state_machine.GONE:
            with suppress(ConditionFailed):
                table.write(state_machine.delete(job, now_ms()))
            continue
        if job.state == state_machine.DELETING:  # an earlier call may have ended before it sent this
            queue.send([QueueMessage("finalize", tenant, job_id)])
        return job
    raise Conflict(
        f"job {job_id} moved on {MAX_MOVE_TRIES} times while it was being deleted, expected it to stand still"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Removes everything of a job that is DELETING. `now_ms` returns epoch milliseconds."""

    table: Table
    objects: ObjectStore
    webhooks: WebhookStore
    input_bucket: str
    output_bucket: str
    now_ms: Callable[[], int]

    def run(self, job: Job) -> None:
        """Remove everything of a job, and move it to DELETED when FUNCTION_LIFE_MS have passed.

        Raises RetryLater until then.
        """
        n_objects = self._erase_objects(self.output_bucket, keys.job_prefix(job.tenant, job.job) + "/")
        n_objects += self._erase_objects(self.input_bucket, keys.input_prefix(job.tenant, job.job))
        self.webhooks.remove(job)
        self._erase_items(job)
        left_ms = job.closing_ms + FUNCTION_LIFE_MS - self.now_ms()
        if left_ms > 0:
            raise RetryLater("deleted, to be looked at once more", left_ms / 1000 + 1)
        with suppress(ConditionFailed):  # another delivery was first
            self.table.write(state_machine.end_deleting(job, self.now_ms()))
        log_event("deleted", function="finalize", job_id=job.job, count=n_objects)

    def _erase_objects(self, bucket: str, prefix: str) -> int:
        n_removed = 0
        for _ in range(MAX_PAGES):
            n_page = self.objects.erase(bucket, prefix)
            if not n_page:
                break
            n_removed += n_page
        return n_removed

    def _erase_items(self, job: Job) -> None:
        partition, own = keys.job_prefix(job.tenant, job.job), keys.job_item(job.tenant, job.job)
        self._remove(keys.listing_item(job.tenant, job.created_ms, job.job))
        after: str | None = None
        for _ in range(MAX_PAGES):
            page = self.table.query(partition, after=after, limit=PAGE_ITEMS)
            found = [Key(str(item["pk"]), str(item["sk"])) for item in page.items]
            self._remove(*(key for key in found if key != own))
            if page.after is None:
                return
            after = page.after

    def _remove(self, *removed: Key) -> None:
        if not removed:
            return
        try:
            self.table.write(*(Delete(key) for key in removed))
        except ConditionFailed:  # another delivery removed some of them
            for key in removed:
                with suppress(ConditionFailed):
                    self.table.write(Delete(key))
