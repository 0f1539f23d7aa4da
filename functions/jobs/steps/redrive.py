"""Redrives an ended job: its shards that hold a failed record are answered again, as wholes.

Two halves: `redrive` moves the job and asks for the rest (the API's part, one write); `Redriver`
opens the shards, some at a time (the planner's part). Each may be repeated at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import Job, Shard
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import all_shards, load_job
from shared.errors import Conflict, NotFound
from shared.log import log_event

MOVES = 3  # tries to move a job that others move too
STEP_SHARDS = 25  # opened by one transaction
MARGIN_S = 30.0


def redrive(doors: Doors, tenant: str, job_id: str, *, generation: int | None = None) -> tuple[Job, bool]:
    """Have what failed of an ended job answered again; returns the job, and True when this call began it.

    Changes nothing when a redrive is under way, when all has succeeded, or when the job is past
    `generation`, the one that the caller saw: so it may be repeated. Raises NotFound; Conflict when
    the job has not ended, was cancelled, has no failed record or is about to expire.
    """
    for _ in range(MOVES):
        job = load_job(doors.store, tenant, job_id) if keys.JOB.fullmatch(job_id) else None
        if job is None or job.state in state_machine.GONE:
            raise NotFound(f"no job {job_id[:40]!r}")
        if _is_done(job, generation):
            _ask(doors, job)  # also when the call that began it was cut off before it sent this
            return job, False
        try:
            doors.store.write(state_machine.redrive(job, doors.now_ms()))
        except ConditionFailed:
            continue
        job = load_job(doors.store, tenant, job_id) or job
        _ask(doors, job)
        return job, True
    raise Conflict(f"job {job_id} moved on {MOVES} times while it was being redriven, expected it to stand still")


def _is_done(job: Job, generation: int | None) -> bool:
    """Whether what is asked for has been begun, or there is nothing to do."""
    if generation is not None and job.generation < generation:
        raise Conflict(f"got generation {generation}, but job {job.job} is at {job.generation}")
    if job.state == state_machine.SUCCEEDED or (generation is not None and job.generation > generation):
        return True
    return job.generation > 0 and job.state in {
        state_machine.REDRIVING,
        state_machine.RUNNING,
        state_machine.FINALIZING,
    }


def _ask(doors: Doors, job: Job) -> None:
    if job.state == state_machine.REDRIVING:
        doors.queue.send([QueueMessage("plan", job.tenant, job.job)])


@dataclass(frozen=True, slots=True)
class Redriver:
    """Opens the failed shards of a job that is REDRIVING; one transaction opens at most `step_shards`."""

    doors: Doors
    step_shards: int = STEP_SHARDS

    def run(self, job: Job, time_left_s: Callable[[], float]) -> Job:
        """Bring a job from REDRIVING to RUNNING, or as far as time allows: then a pointer carries on.

        Raises Refused when a twin was first, or the job was cancelled.
        """
        chosen = (shard for shard in all_shards(self.doors.store, job) if leases.to_redrive(job, shard))
        for batch in _batches(chosen, self.step_shards):
            if time_left_s() < MARGIN_S:
                self.doors.queue.send([QueueMessage("plan", job.tenant, job.job)])
                return job
            self.doors.store.write(*leases.reopen(job, batch))
            self.doors.queue.send([QueueMessage("work", job.tenant, job.job, shard.shard) for shard in batch])
        self.doors.store.write(state_machine.end_redriving(job, self.doors.now_ms()))
        log_event("redriven", function="plan", job_id=job.job, attempt=job.generation)
        return load_job(self.doors.store, job.tenant, job.job) or job


def _batches(shards: Iterator[Shard], size: int) -> Iterator[Sequence[Shard]]:
    while batch := list(islice(shards, size)):
        yield batch
