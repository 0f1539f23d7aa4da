"""Restarts what stands still: looks at the due items of the index, and ends shards that have used up their strikes.

A job is due until its end was announced, and a shard when its lease has ended. Shards that wait are found through their
job, and only when no shard of it has ended for long. A run is limited in items and in time. It sends a message before
it postpones an item: a crash in between repeats a message, which is harmless, and loses none. Must not know how shards
are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import Job, Shard, from_item
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.state_machine import DONE, FAILED, PENDING, STALL_MS
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.commit import ShardCommit
from functions.jobs.storage.contracts import JobQueue, Table
from functions.jobs.storage.queries import all_shards, load_job, load_plan
from shared.errors import Conflict
from shared.log import log_event

MAX_ITEMS = 400  # that one run looks at
ITEM_MARGIN_S = 10.0  # time that one item may take
MAX_RESENT = 1000  # messages of one job that one run sends again


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Sweeps once in each run. `now_ms` returns epoch milliseconds."""

    table: Table
    queue: JobQueue
    shard_commit: ShardCommit
    now_ms: Callable[[], int]
    max_items: int = MAX_ITEMS

    def run(self, time_left_s: Callable[[], float]) -> dict[str, int]:
        """Look at up to `max_items` due items; return how often each action was taken."""
        done: Counter[str] = Counter()
        for key in self._due():
            if time_left_s() < ITEM_MARGIN_S:
                done["out-of-time"] += 1
                break
            done[self._look_safely(key, time_left_s)] += 1
        for action, count in done.items():
            log_event("swept", function="sweep", operation=action, count=count)
        log_event("sweep-run", function="sweep", count=sum(done.values()), failed=done["failed"])
        return dict(done)

    def _due(self) -> Iterator[keys.Key]:
        until = keys.due_sort(self.now_ms(), "")
        partitions = keys.due_partitions()
        for partition in partitions:
            yield from self.table.due(partition, until, max(1, self.max_items // len(partitions)))

    def _look_safely(self, key: keys.Key, time_left_s: Callable[[], float]) -> str:
        try:
            return self._look(key, time_left_s)
        except Exception as error:  # noqa: BLE001 - one item must not keep the sweeper from all others in every run
            log_event("sweep-failed", level="error", function="sweep", error_type=type(error).__name__)
            return "failed"

    def _look(self, key: keys.Key, time_left_s: Callable[[], float]) -> str:
        item = self.table.get(key)
        _, tenant, _, job_id = key.pk.split("/")
        job = load_job(self.table, tenant, job_id)
        if item is None or job is None or not self._still_due(item.get(keys.INDEX_SORT)):
            return "gone"  # the index lags behind the table
        try:
            if key.sk == "job":
                return self._look_at_job(job, time_left_s)
            return self._look_at_shard(job, from_item(Shard, item))
        except (ConditionFailed, Conflict):
            return "overtaken"  # the item moved on meanwhile

    def _still_due(self, sort: object) -> bool:
        return isinstance(sort, str) and sort < keys.due_sort(self.now_ms(), "")

    # ---- jobs

    def _look_at_job(self, job: Job, time_left_s: Callable[[], float]) -> str:
        now_ms = self.now_ms()
        if job.state == state_machine.RUNNING:
            action = self._recount(job, time_left_s)
        elif job.state in state_machine.ENDED and not state_machine.must_announce(job):
            self.table.write(state_machine.leave_index(job))
            return "job-rests"
        else:
            restart = self._restart_of(job.state)
            if restart is None:
                return "gone"  # it was erased between the two reads
            action = restart(job)
        with suppress(ConditionFailed):  # it moved on, and each move sets when it is due next
            self.table.write(state_machine.postpone_job(job, now_ms + STALL_MS))
        return action

    def _restart_of(self, state: str) -> Callable[[Job], str] | None:
        """Return what restarts a job in this state; None when nothing does."""
        return {
            state_machine.SUBMITTED: self._replan,
            state_machine.PLANNING: self._replan,
            state_machine.REDRIVING: self._reopen,
            state_machine.FINALIZING: self._close,
            state_machine.CANCELLING: self._close,
            state_machine.DELETING: self._close,
            **dict.fromkeys(state_machine.ENDED, self._close),  # its end was not announced
        }.get(state)

    def _replan(self, job: Job) -> str:
        plan = load_plan(self.table, job)
        if plan is not None and plan.updated_ms > self.now_ms() - STALL_MS:
            return "plan-in-progress"
        self.queue.send([QueueMessage("plan", job.tenant, job.job)])
        return "plan-resent"

    def _reopen(self, job: Job) -> str:
        self.queue.send([QueueMessage("plan", job.tenant, job.job)])
        return "redrive-resent"

    def _close(self, job: Job) -> str:
        self.queue.send([QueueMessage("finalize", job.tenant, job.job)])
        return "finalize-resent"

    def _recount(self, job: Job, time_left_s: Callable[[], float]) -> str:
        """Look through a running job that stands still: send messages for its waiting shards again, or close it.

        Its counters can differ from its shards only through a bug of ours. Then they are corrected.
        """
        if not state_machine.is_stalled(job, self.now_ms()):
            return self._close(job) if state_machine.ready_to_close(job) else "running"  # its messages are in the queue
        counts, waiting = _no_counts(), list[QueueMessage]()
        for shard in all_shards(self.table, job):
            _count(counts, shard)
            if shard.state == PENDING and len(waiting) < MAX_RESENT:
                waiting.append(QueueMessage("work", job.tenant, job.job, shard.shard))
            if time_left_s() < ITEM_MARGIN_S:
                break
        self.queue.send(waiting)
        counts["shards_open"] = job.n_shards - counts["shards_done"] - counts["shards_failed"]
        if time_left_s() >= ITEM_MARGIN_S and load_job(self.table, job.tenant, job.job) == job:
            self._repair(job, counts)
            if counts["shards_open"] == 0:
                return self._close(job)
        return "shards-resent" if waiting else "running"

    def _repair(self, job: Job, counts: dict[str, int]) -> None:
        if any(getattr(job, name) != value for name, value in counts.items()):
            log_event("counters-repaired", level="error", function="sweep", job_id=job.job)
            self.table.write(state_machine.repair_counters(job, counts))

    # ---- shards

    def _look_at_shard(self, job: Job, shard: Shard) -> str:
        now_ms = self.now_ms()
        if job.state not in state_machine.WORKABLE or shard.state != state_machine.LEASED:
            self.table.write(leases.leave_index(job, shard))
            return "shard-forgotten"
        if shard.strikes + 1 >= leases.MAX_STRIKES:
            return self._give_up(job, shard)
        self.queue.send([QueueMessage("work", job.tenant, job.job, shard.shard)])
        self.table.write(leases.postpone(job, shard, now_ms + STALL_MS))
        return "shard-resent"

    def _give_up(self, job: Job, shard: Shard) -> str:
        write, leased = leases.claim(job, shard, self.now_ms())  # the new fence stops a worker that may still live
        self.table.write(write)
        self.shard_commit.give_up_after_strikes(job, leased)
        return "shard-given-up"


def _no_counts() -> dict[str, int]:
    return dict.fromkeys(("shards_done", "shards_failed", "records_ok", "records_failed"), 0)


def _count(counts: dict[str, int], shard: Shard) -> None:
    counts["shards_done"] += shard.state == DONE
    counts["shards_failed"] += shard.state == FAILED
    counts["records_ok"] += shard.records_ok
    counts["records_failed"] += shard.records_failed
