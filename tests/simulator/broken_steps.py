"""Steps with a planted bug: subclasses of the true steps that break one promise each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, Shard
from functions.jobs.state.leases import reopen
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.s3_events import ObjectCreated, is_s3_event, parse_event
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.finalize import Finalizer
from functions.jobs.steps.manifest import build_manifest
from functions.jobs.steps.plan.planner import Planner
from functions.jobs.steps.sqs_handler import RetryLater, SqsMessage
from functions.jobs.steps.sweep import Sweeper
from functions.jobs.steps.work.worker import Worker
from functions.jobs.storage.contracts import Table
from functions.jobs.storage.queries import all_shards, load_job


class ManifestFirst(Finalizer):
    """Writes the manifest before the close."""

    def run(self, tenant: str, job_id: str) -> None:
        job = load_job(self.table, tenant, job_id)
        if job is not None and state_machine.ready_to_close(job):
            self._publish(replace(job, state=state_machine.FINALIZING))
        Finalizer.run(self, tenant, job_id)


class EndFirst(Finalizer):
    """Moves the job to its end state before the manifest."""

    def _publish(self, job: Job) -> str:
        data = build_manifest(job, (), all_shards(self.table, job))
        digest = hashlib.sha256(data).hexdigest()
        with suppress(ConditionFailed):
            self.table.write(state_machine.end(job, digest, self.now_ms()))
        return Finalizer._publish(self, job)


class Unconditional(Finalizer):
    """Closes a running job though shards are open."""

    def run(self, tenant: str, job_id: str) -> None:
        job = load_job(self.table, tenant, job_id)
        if job is not None and job.state == state_machine.RUNNING:
            with suppress(ConditionFailed):
                self.table.write(state_machine.move(job, state_machine.FINALIZING, self.now_ms(), closing_ms=1))
        Finalizer.run(self, tenant, job_id)


class ErasesOnce(Finalizer):
    """Removes things once, and does not look again."""

    def run(self, tenant: str, job_id: str) -> None:
        job = load_job(self.table, tenant, job_id)
        if job is not None and job.state == state_machine.DELETING:
            with suppress(RetryLater):
                self.eraser.run(job)
            with suppress(ConditionFailed):
                self.table.write(state_machine.end_deleting(job, self.now_ms()))
            return
        Finalizer.run(self, tenant, job_id)


class DeafWorker(Worker):
    """Does not see that the job was cancelled."""

    def _cancelled(self, job: Job) -> bool:
        return False


class IdleSweeper(Sweeper):
    """Does nothing."""

    def run(self, time_left_s: Callable[[], float]) -> dict[str, int]:
        return {}


class HastySweeper(Sweeper):
    """Does not look for waiting shards."""

    def _recount(self, job: Job, time_left_s: Callable[[], float]) -> str:
        return self._close(job) if state_machine.ready_to_close(job) else "running"


class EagerRedriver(Planner):
    """Reopens shards whose records all succeeded."""

    def run(self, tenant: str, job_id: str, time_left_s: Callable[[], float]) -> None:
        job = load_job(self.table, tenant, job_id)
        if job is None or job.state != state_machine.REDRIVING:
            Planner.run(self, tenant, job_id, time_left_s)
            return
        with suppress(ConditionFailed):
            for shard in list(all_shards(self.table, job)):
                if shard.state in state_machine.SHARD_ENDED and shard.generation < job.generation:
                    self._reopen(job, shard)
            self.table.write(state_machine.end_redriving(job, self.now_ms()))

    def _reopen(self, job: Job, shard: Shard) -> None:
        self.table.write(*reopen(job, [shard]))
        self.queue.send([QueueMessage("work", job.tenant, job.job, shard.shard)])


class Undeduplicated(Planner):
    """Makes a job of each event, also of a repeated one."""

    def handle_message(self, message: SqsMessage, time_left_s: Callable[[], float]) -> None:
        if not is_s3_event(message.body):
            Planner.handle_message(self, message, time_left_s)
            return
        for created in parse_event(message.body):
            job = self.acceptor.accept(_ever_new(created, self.table))
            if job is not None:
                self.run(job.tenant, job.job, time_left_s)


def _ever_new(created: ObjectCreated, table: Table) -> ObjectCreated:
    n_jobs = len(table.query(keys.jobs_partition("local")).items)
    return replace(created, version=created.version if not n_jobs else f"w{n_jobs}")
