"""Says on the event bus that a job has ended: once a generation, or again when a crash hid that it was said.

Must not know who listens; a webhook is one of them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec, iso
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.storage.aws import Doors
from shared.log import log_event

JOB_ENDED = "Glossa Job Ended"


@dataclass(frozen=True, slots=True)
class Announcer:
    """Announces ends through the doors it is given."""

    doors: Doors

    def announce(self, job: Job) -> None:
        """Say that a job has ended, unless it was said of this generation. Raises Unavailable."""
        if not state_machine.to_announce(job):
            return
        self.doors.bus.put(JOB_ENDED, ended_detail(job, self.doors.output_bucket))
        with suppress(ConditionFailed):  # a twin said it too, or the job has moved on
            self.doors.store.write(state_machine.announced(job))
        log_event("announced", function="finalize", job_id=job.job, state=job.state)


def ended_detail(job: Job, bucket: str) -> dict[str, object]:
    """Return what is said of a job that has ended: `id` is the same however often it is said."""
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
