"""Redrives an ended job: answers every shard again that holds a failed record.

Has two halves. `redrive` is the API's: it moves the job to REDRIVING by one write and asks for the rest. `Redriver` is
the planner's: it opens the shards, some at a time. Each half may be repeated at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import Job, Shard
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.state_machine import MAX_MOVE_TRIES
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.storage.contracts import JobQueue, Table
from functions.jobs.storage.queries import all_shards, load_job
from shared.errors import Conflict, NotFound
from shared.log import log_event

STEP_SHARDS = 25  # opened by one transaction
REOPEN_MARGIN_S = 30.0  # time that one transaction and its messages may take


def redrive(
    tenant: str,
    job_id: str,
    *,
    table: Table,
    queue: JobQueue,
    now_ms: Callable[[], int],
    generation: int | None = None,
) -> tuple[Job, bool]:
    """Have the failed records of an ended job answered again. Returns the job, and True when this call began it.

    Changes nothing when a redrive goes on, when all records succeeded, or when the job is past `generation`, the one
    that the caller saw. So it may be repeated. Raises NotFound. Raises Conflict when the job has not ended, was
    cancelled, has no failed record, or is about to expire.
    """
    for _ in range(MAX_MOVE_TRIES):
        job = load_job(table, tenant, job_id) if keys.JOB.fullmatch(job_id) else None
        if job is None or job.state in state_machine.GONE:
            raise NotFound(f"no job {job_id[:40]!r}")
        if _is_done(job, generation):
            _ask_to_open(job, queue)  # the call that began it may have ended before it sent this
            return job, False
        try:
            table.write(state_machine.redrive(job, now_ms()))
        except ConditionFailed:
            continue
        job = load_job(table, tenant, job_id) or job
        _ask_to_open(job, queue)
        return job, True
    raise Conflict(
        f"job {job_id} moved on {MAX_MOVE_TRIES} times while it was being redriven, expected it to stand still"
    )


def _is_done(job: Job, generation: int | None) -> bool:
    """Whether this redrive has begun already, or there is nothing to do."""
    if generation is not None and job.generation < generation:
        raise Conflict(f"got generation {generation}, but job {job.job} is at {job.generation}")
    if job.state == state_machine.SUCCEEDED or (generation is not None and job.generation > generation):
        return True
    return job.generation > 0 and job.state in {
        state_machine.REDRIVING,
        state_machine.RUNNING,
        state_machine.FINALIZING,
    }


def _ask_to_open(job: Job, queue: JobQueue) -> None:
    if job.state == state_machine.REDRIVING:
        queue.send([QueueMessage("plan", job.tenant, job.job)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriver:
    """Opens the failed shards of a job that is REDRIVING; one transaction opens at most `step_shards`."""

    table: Table
    queue: JobQueue
    now_ms: Callable[[], int]
    step_shards: int = STEP_SHARDS

    def run(self, job: Job, time_left_s: Callable[[], float]) -> Job:
        """Bring a job from REDRIVING to RUNNING. When time is up, sends a message that carries on.

        Raises ConditionFailed when another planner was first, or the job was cancelled.
        """
        failed = (shard for shard in all_shards(self.table, job) if leases.must_redrive(job, shard))
        for batch in _batches(failed, self.step_shards):
            if time_left_s() < REOPEN_MARGIN_S:
                self.queue.send([QueueMessage("plan", job.tenant, job.job)])
                return job
            self.table.write(*leases.reopen(job, batch))
            self.queue.send([QueueMessage("work", job.tenant, job.job, shard.shard) for shard in batch])
        self.table.write(state_machine.end_redriving(job, self.now_ms()))
        log_event("redriven", function="plan", job_id=job.job, generation=job.generation)
        return load_job(self.table, job.tenant, job.job) or job


def _batches(shards: Iterator[Shard], size: int) -> Iterator[Sequence[Shard]]:
    while batch := list(islice(shards, size)):
        yield batch
