"""Closes a job: wins the close, writes the manifest, then the end state; in that order.

Every step can be repeated: the manifest's bytes depend only on items that no longer change, and
each move is guarded. Must not know how shards were answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job
from functions.jobs.state.queue_messages import decode
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.announce import Announcer
from functions.jobs.steps.delete import Eraser
from functions.jobs.steps.manifest import build_manifest
from functions.jobs.steps.sqs_handler import SqsMessage, deliver
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import all_inputs, all_shards, load_job
from shared.log import log_event


@dataclass(frozen=True, slots=True)
class Finalizer:
    """Closes one job at a time."""

    doors: Doors

    def answer(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the finalize queue; returns the partial batch response."""

        def handle(delivery: SqsMessage) -> None:
            message = decode(delivery.body, "finalize")
            self.run(message.tenant, message.job)

        return deliver("finalize", event, handle, self.doors.queue)

    def run(self, tenant: str, job_id: str) -> None:
        """Close a job that is ready, finish closing one, say that one has ended, or erase one that is deleted.

        Raises Later when it is to be looked at again.
        """
        job = load_job(self.doors.store, tenant, job_id)
        if job is not None and job.state == state_machine.DELETING:
            Eraser(self.doors).run(job)
            return
        if job is not None and state_machine.ready_to_close(job):
            job = self._win(job)
        if job is not None and state_machine.to_announce(job):
            Announcer(self.doors).announce(job)
            return
        if job is None or job.state not in {state_machine.FINALIZING, state_machine.CANCELLING}:
            log_event("not-to-close", function="finalize", job_id=job_id, state=job.state if job else "unknown")
            return
        digest = self._publish(job)
        try:
            self.doors.store.write(state_machine.end(job, digest, self.doors.now_ms()))
        except ConditionFailed:
            log_event("already-ended", function="finalize", job_id=job_id)
        else:
            log_event(
                "ended", function="finalize", job_id=job_id, state=state_machine.outcome(job),
                records=job.records_ok, failed=job.records_failed,
            )  # fmt: skip
        if (ended := load_job(self.doors.store, tenant, job_id)) is not None:
            Announcer(self.doors).announce(ended)

    def _win(self, job: Job) -> Job | None:
        try:
            self.doors.store.write(state_machine.close(job, self.doors.now_ms()))
        except ConditionFailed:
            log_event("close-lost", function="finalize", job_id=job.job)
        return load_job(self.doors.store, job.tenant, job.job)

    def _publish(self, job: Job) -> str:
        """Write the manifest unless it is there; return the sha256 of what is there."""
        inputs = islice(all_inputs(self.doors.store, job), job.n_inputs or None)
        data = build_manifest(job, inputs, all_shards(self.doors.store, job))
        digest = hashlib.sha256(data).hexdigest()
        bucket, key = self.doors.output_bucket, keys.manifest_key(job.tenant, job.job, job.generation)
        metadata = {"sha256": digest}
        if self.doors.objects.put_new(bucket, key, data, content_type="application/json", metadata=metadata):
            return digest
        stored = self.doors.objects.head(bucket, key)
        there = stored.metadata.get("sha256", "") if stored else ""
        if there != digest:
            log_event("manifest-differs", level="error", function="finalize", job_id=job.job)
        return there
