"""Looks at what is due in the index and sets it going again; ends shards that had their chances.

Due are jobs, until their end was announced, and shards whose lease has ended. Shards that wait are
looked for in their job, and only when none of it has ended for long. Bounded per run. Sends first and
postpones after, so that a crash in between repeats a message, which is harmless, and forgets none.
Must not know how shards are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.records.formats import Problem
from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import Job, Shard, from_item
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.state_machine import DONE, FAILED, PENDING, STALL_MS
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.commit import ShardCommit
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import all_shards, load_job, load_plan
from shared.errors import Conflict
from shared.log import log_event

MAX_ITEMS = 400
MARGIN_S = 10.0
MAX_RESENT = 1000  # pointers of one job that one look sends again


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Sweeps once per run."""

    doors: Doors
    max_items: int = MAX_ITEMS

    def run(self, time_left_s: Callable[[], float]) -> dict[str, int]:
        """Look at up to `max_items` due items; return how often each thing was done."""
        done: Counter[str] = Counter()
        for key in self._due():
            if time_left_s() < MARGIN_S:
                done["out-of-time"] += 1
                break
            done[self._look_safely(key, time_left_s)] += 1
        for action, count in done.items():
            log_event("swept", function="sweep", operation=action, count=count)
        return dict(done)

    def _due(self) -> Iterator[keys.Key]:
        until = keys.due_sort(self.doors.now_ms(), "")
        partitions = keys.due_partitions()
        for partition in partitions:
            yield from self.doors.store.due(partition, until, max(1, self.max_items // len(partitions)))

    def _look_safely(self, key: keys.Key, time_left_s: Callable[[], float]) -> str:
        try:
            return self._look(key, time_left_s)
        except Exception as error:  # noqa: BLE001 - one item must not keep the sweeper from all others, run after run
            log_event("sweep-failed", level="error", function="sweep", error_type=type(error).__name__)
            return "failed"

    def _look(self, key: keys.Key, time_left_s: Callable[[], float]) -> str:
        item = self.doors.store.get(key)
        _, tenant, _, job_id = key.pk.split("/")
        job = load_job(self.doors.store, tenant, job_id)
        if item is None or job is None or not self._still_due(item.get("gsi1sk")):
            return "gone"  # the index lags behind
        try:
            if key.sk == "job":
                return self._look_at_job(job, time_left_s)
            return self._look_at_shard(job, from_item(Shard, item))
        except (ConditionFailed, Conflict):
            return "overtaken"  # it moved by itself

    def _still_due(self, sort: object) -> bool:
        return isinstance(sort, str) and sort < keys.due_sort(self.doors.now_ms(), "")

    # ---- jobs

    def _look_at_job(self, job: Job, time_left_s: Callable[[], float]) -> str:
        now_ms = self.doors.now_ms()
        if job.state == state_machine.RUNNING:
            action = self._recount(job, time_left_s)
        elif job.state in state_machine.ENDED and not state_machine.to_announce(job):
            self.doors.store.write(state_machine.rest(job))
            return "job-rests"
        else:
            act = {
                state_machine.SUBMITTED: self._replan, state_machine.PLANNING: self._replan, state_machine.REDRIVING:
                self._reopen,
                state_machine.FINALIZING: self._close, state_machine.CANCELLING: self._close, state_machine.DELETING:
                self._close,
                **dict.fromkeys(state_machine.ENDED, self._close),  # nobody was told of its end
            }.get(job.state)  # fmt: skip
            if act is None:
                return "gone"  # it was erased between the two reads
            action = act(job)
        with suppress(ConditionFailed):  # it moved on, which sets its own next date
            self.doors.store.write(state_machine.postpone_job(job, now_ms + STALL_MS))
        return action

    def _replan(self, job: Job) -> str:
        plan = load_plan(self.doors.store, job)
        if plan is not None and plan.updated_ms > self.doors.now_ms() - STALL_MS:
            return "plan-in-progress"
        self.doors.queue.send([QueueMessage("plan", job.tenant, job.job)])
        return "plan-resent"

    def _reopen(self, job: Job) -> str:
        self.doors.queue.send([QueueMessage("plan", job.tenant, job.job)])
        return "redrive-resent"

    def _close(self, job: Job) -> str:
        self.doors.queue.send([QueueMessage("finalize", job.tenant, job.job)])
        return "finalize-resent"

    def _recount(self, job: Job, time_left_s: Callable[[], float]) -> str:
        """Look through a running job that stands still: ask again for shards that wait, or for its end.

        Its counters can differ from its shards only by a fault of ours; then they are set right.
        """
        if not state_machine.stands_still(job, self.doors.now_ms()):
            return (
                self._close(job) if state_machine.ready_to_close(job) else "running"
            )  # what waits, waits in the queue
        counts, waiting = _no_counts(), list[QueueMessage]()
        for shard in all_shards(self.doors.store, job):
            _count(counts, shard)
            if shard.state == PENDING and len(waiting) < MAX_RESENT:
                waiting.append(QueueMessage("work", job.tenant, job.job, shard.shard))
            if time_left_s() < MARGIN_S:
                break
        self.doors.queue.send(waiting)
        counts["shards_open"] = job.n_shards - counts["shards_done"] - counts["shards_failed"]
        if time_left_s() >= MARGIN_S and load_job(self.doors.store, job.tenant, job.job) == job:
            self._repair(job, counts)
            if counts["shards_open"] == 0:
                return self._close(job)
        return "shards-resent" if waiting else "running"

    def _repair(self, job: Job, counts: dict[str, int]) -> None:
        if any(getattr(job, name) != value for name, value in counts.items()):
            log_event("counters-repaired", level="error", function="sweep", job_id=job.job)
            self.doors.store.write(state_machine.repair_counters(job, counts))

    # ---- shards

    def _look_at_shard(self, job: Job, shard: Shard) -> str:
        now_ms = self.doors.now_ms()
        if job.state not in state_machine.WORKABLE or shard.state != state_machine.LEASED:
            self.doors.store.write(leases.forget(job, shard))
            return "shard-forgotten"
        if shard.strikes + 1 >= leases.MAX_STRIKES:
            return self._give_up(job, shard)
        self.doors.queue.send([QueueMessage("work", job.tenant, job.job, shard.shard)])
        self.doors.store.write(leases.postpone(job, shard, now_ms + STALL_MS))
        return "shard-resent"

    def _give_up(self, job: Job, shard: Shard) -> str:
        write, leased = leases.claim(job, shard, self.doors.now_ms())  # the fence shuts out a worker that still lives
        self.doors.store.write(write)
        reason = shard.reason or "the worker died"
        detail = f"given up after {leased.strikes} tries; last reason: {reason}"
        ShardCommit(self.doors).give_up(job, leased, Problem("given-up", detail))
        return "shard-given-up"


def _no_counts() -> dict[str, int]:
    return dict.fromkeys(("shards_done", "shards_failed", "records_ok", "records_failed"), 0)


def _count(counts: dict[str, int], shard: Shard) -> None:
    counts["shards_done"] += shard.state == DONE
    counts["shards_failed"] += shard.state == FAILED
    counts["records_ok"] += shard.records_ok
    counts["records_failed"] += shard.records_failed
