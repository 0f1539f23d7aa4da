"""Publishes on the event bus that a job has ended, once for each generation.

The event is published again when a crash hid that it was published; its id stays the same. Must not know who listens. A
webhook is one listener.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, iso
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.storage.contracts import EventBus, Table
from shared.log import log_event

JOB_ENDED = "Glossa Job Ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcer:
    """Announces the end of jobs. `output_bucket` is named in the event."""

    table: Table
    event_bus: EventBus
    output_bucket: str

    def announce(self, job: Job) -> None:
        """Publish that a job has ended, unless this generation was announced. Raises Unavailable."""
        if not state_machine.must_announce(job):
            return
        self.event_bus.put(JOB_ENDED, ended_detail(job, self.output_bucket))
        with suppress(ConditionFailed):  # another delivery announced it too, or the job has moved on
            self.table.write(state_machine.announced(job))
        log_event("announced", function="finalize", job_id=job.job, state=job.state)


def ended_detail(job: Job, bucket: str) -> dict[str, object]:
    """Return the content of the event. Its `id` is the same however often the event is published."""
    manifest = {"key": keys.manifest_key(job.tenant, job.job, job.generation), "sha256": job.manifest_sha256}
    spec = JobSpec.from_json(job.spec) if job.spec else None
    return {
        "id": f"{job.job}.{job.generation}",
        "job": job.job,
        "tenant": job.tenant,
        "state": job.state,
        "generation": job.generation,
        "source": job.source,
        "recipe": job.recipe,
        "task": spec.task if spec else "",
        "counts": {"records": job.n_records, "succeeded": job.records_ok, "failed": job.records_failed},
        "bucket": bucket,
        "manifest": manifest if job.manifest_sha256 else None,
        "finished_at": iso(job.finished_ms),
    }
