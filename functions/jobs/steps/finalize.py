"""Closes a job: moves it to FINALIZING, writes the manifest, moves it to its end state, and has the end announced.

The effects come in this order, and each may be repeated. The bytes of the manifest depend only on items that no longer
change, and each move is guarded. Must not know how shards were answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job
from functions.jobs.state.queue_messages import decode_message
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.announce import Announcer
from functions.jobs.steps.delete import Eraser
from functions.jobs.steps.manifest import build_manifest
from functions.jobs.steps.sqs_handler import SqsMessage, handle_messages
from functions.jobs.storage.contracts import JobQueue, ObjectStore, Table
from functions.jobs.storage.queries import all_inputs, all_shards, load_job
from shared.content_types import JSON_TYPE
from shared.log import log_event


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalizer:
    """Closes one job at a time. `now_ms` returns epoch milliseconds."""

    table: Table
    objects: ObjectStore
    queue: JobQueue
    output_bucket: str
    now_ms: Callable[[], int]
    announcer: Announcer
    eraser: Eraser

    def handle_event(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the finalize queue; returns the partial batch response."""
        return handle_messages("finalize", event, self.handle_message, self.queue)

    def handle_message(self, message: SqsMessage) -> None:
        """Close or erase the job that a message names."""
        queue_message = decode_message(message.body, "finalize")
        self.run(queue_message.tenant, queue_message.job)

    def run(self, tenant: str, job_id: str) -> None:
        """Close a job that is ready, go on closing one, announce the end of one, or erase one that is DELETING.

        Raises RetryLater when the job must be looked at again.
        """
        job = load_job(self.table, tenant, job_id)
        if job is not None and job.state == state_machine.DELETING:
            self.eraser.run(job)
            return
        if job is not None and state_machine.ready_to_close(job):
            job = self._begin_closing(job)
        if job is not None and state_machine.must_announce(job):
            self.announcer.announce(job)
            return
        if job is None or job.state not in {state_machine.FINALIZING, state_machine.CANCELLING}:
            log_event("close-skipped", function="finalize", job_id=job_id, state=job.state if job else "unknown")
            return
        self._end(job, self._publish(job))
        if (ended := load_job(self.table, tenant, job_id)) is not None:
            self.announcer.announce(ended)

    def _begin_closing(self, job: Job) -> Job | None:
        try:
            self.table.write(state_machine.close(job, self.now_ms()))
        except ConditionFailed:
            log_event("close-conflict", function="finalize", job_id=job.job)
        return load_job(self.table, job.tenant, job.job)

    def _end(self, job: Job, manifest_sha256: str) -> None:
        try:
            self.table.write(state_machine.end(job, manifest_sha256, self.now_ms()))
        except ConditionFailed:
            log_event("already-ended", function="finalize", job_id=job.job)
        else:
            log_event(
                "ended", function="finalize", job_id=job.job, state=state_machine.outcome(job),
                records=job.records_ok, failed=job.records_failed,
            )  # fmt: skip

    def _publish(self, job: Job) -> str:
        """Write the manifest unless it exists; return the sha256 of the one that exists."""
        inputs = islice(all_inputs(self.table, job), job.n_inputs or None)
        data = build_manifest(job, inputs, all_shards(self.table, job))
        digest = hashlib.sha256(data).hexdigest()
        bucket, key = self.output_bucket, keys.manifest_key(job.tenant, job.job, job.generation)
        metadata = {"sha256": digest}
        if self.objects.put_new(bucket, key, data, content_type=JSON_TYPE, metadata=metadata):
            return digest
        stored = self.objects.head(bucket, key)
        existing = stored.metadata.get("sha256", "") if stored else ""
        if existing != digest:
            log_event("manifest-differs", level="error", function="finalize", job_id=job.job)
        return existing
