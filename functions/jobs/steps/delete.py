"""Deletes a job: its uploads, staged bytes, parts and manifests, and all its items but one.

Two halves: `delete` moves the job and asks for the rest (the API's part); `Eraser` removes things
(the finalizer's part), and looks once more when nobody who knew the job can be at work any more.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job
from functions.jobs.state.keys import Key
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import ConditionFailed, Delete
from functions.jobs.steps.sqs_handler import RetryLater
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import load_job
from shared.errors import Conflict, NotFound
from shared.log import log_event

MOVES = 3  # tries to move a job that others move too
PAGE = 50  # items of one transaction
MAX_PAGES = 4_000  # of one kind, in one run
SETTLED_MS = 360_000  # a function lives at most 300 s: by then none is left that read the job before it was deleted


def delete(doors: Doors, tenant: str, job_id: str) -> Job:
    """Remove a job with its uploads and results; from the return on it is unknown to everyone outside.

    May be repeated. Raises NotFound; Conflict while the job goes on: then it must be cancelled first.
    An object in an inbox is its owner's, and stays.
    """
    for _ in range(MOVES):
        job = load_job(doors.store, tenant, job_id) if keys.JOB.fullmatch(job_id) else None
        if job is None:
            raise NotFound(f"no job {job_id[:40]!r}")
        if job.state not in state_machine.GONE:
            with suppress(ConditionFailed):
                doors.store.write(state_machine.delete(job, doors.now_ms()))
            continue
        if job.state == state_machine.DELETING:  # also when an earlier call was cut off before it sent this
            doors.queue.send([QueueMessage("finalize", tenant, job_id)])
        return job
    raise Conflict(f"job {job_id} moved on {MOVES} times while it was being deleted, expected it to stand still")


@dataclass(frozen=True, slots=True)
class Eraser:
    """Removes what belongs to a job that is DELETING."""

    doors: Doors

    def run(self, job: Job) -> None:
        """Remove everything; move to DELETED when SETTLED_MS have passed. Raises Later until then."""
        n_objects = self._objects(self.doors.output_bucket, keys.job_prefix(job.tenant, job.job) + "/")
        n_objects += self._objects(self.doors.input_bucket, keys.input_prefix(job.tenant, job.job))
        self._items(job)
        left_ms = job.closing_ms + SETTLED_MS - self.doors.now_ms()
        if left_ms > 0:
            raise RetryLater("deleted, to be looked at once more", left_ms / 1000 + 1)
        with suppress(ConditionFailed):  # a twin was first
            self.doors.store.write(state_machine.forget_job(job, self.doors.now_ms()))
        log_event("deleted", function="finalize", job_id=job.job, count=n_objects)

    def _objects(self, bucket: str, prefix: str) -> int:
        n_removed = 0
        for _ in range(MAX_PAGES):
            n_page = self.doors.objects.erase(bucket, prefix)
            if not n_page:
                break
            n_removed += n_page
        return n_removed

    def _items(self, job: Job) -> None:
        partition, own = keys.job_prefix(job.tenant, job.job), keys.job_item(job.tenant, job.job)
        self._remove(keys.listing_item(job.tenant, job.created_ms, job.job))
        after: str | None = None
        for _ in range(MAX_PAGES):
            page = self.doors.store.query(partition, after=after, limit=PAGE)
            found = [Key(str(item["pk"]), str(item["sk"])) for item in page.items]
            self._remove(*(key for key in found if key != own))
            if page.after is None:
                return
            after = page.after

    def _remove(self, *gone: Key) -> None:
        if not gone:
            return
        try:
            self.doors.store.write(*(Delete(key) for key in gone))
        except ConditionFailed:  # a twin removed some of them
            for key in gone:
                with suppress(ConditionFailed):
                    self.doors.store.write(Delete(key))
