"""Looks at what is due in the index and sets it going again; ends shards that had their chances.

Bounded per run. Sends first and postpones after, so that a crash in between repeats a message,
which is harmless, and forgets none. Must not know how shards are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from functions.batch import keys, leases, machine
from functions.batch.doors import Doors
from functions.batch.formats import Problem
from functions.batch.items import Job, Shard, from_item
from functions.batch.ledger import all_shards, load_job, load_plan
from functions.batch.machine import DONE, FAILED, STALL_MS
from functions.batch.pointers import Pointer
from functions.batch.settling import Settler
from functions.batch.writes import Refused
from shared.errors import Conflict
from shared.log import log_event

MAX_ITEMS = 400
MARGIN_S = 10.0
MAX_RECOUNT_SHARDS = 20_000


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
            done[self._look_safely(key)] += 1
        for action, count in done.items():
            log_event("swept", function="sweep", operation=action, count=count)
        return dict(done)

    def _due(self) -> Iterator[keys.Key]:
        until = keys.due_sort(self.doors.now_ms(), "")
        partitions = keys.due_partitions()
        for partition in partitions:
            yield from self.doors.store.due(partition, until, max(1, self.max_items // len(partitions)))

    def _look_safely(self, key: keys.Key) -> str:
        try:
            return self._look(key)
        except Exception as error:  # noqa: BLE001 - one item must not keep the sweeper from all others, run after run
            log_event("sweep-failed", level="error", function="sweep", error_type=type(error).__name__)
            return "failed"

    def _look(self, key: keys.Key) -> str:
        item = self.doors.store.get(key)
        _, tenant, _, job_id = key.pk.split("/")
        job = load_job(self.doors.store, tenant, job_id)
        if item is None or job is None or not self._still_due(item.get("gsi1sk")):
            return "gone"  # the index lags behind
        try:
            return self._look_at_job(job) if key.sk == "job" else self._look_at_shard(job, from_item(Shard, item))
        except (Refused, Conflict):
            return "overtaken"  # it moved by itself

    def _still_due(self, sort: object) -> bool:
        return isinstance(sort, str) and sort < keys.due_sort(self.doors.now_ms(), "")

    # ---- jobs

    def _look_at_job(self, job: Job) -> str:
        now_ms = self.doors.now_ms()
        act = {
            machine.SUBMITTED: self._replan, machine.PLANNING: self._replan, machine.RUNNING: self._recount,
            machine.FINALIZING: self._close, machine.CANCELLING: self._close,
            machine.REDRIVING: self._reopen, machine.DELETING: self._close,
        }.get(job.state)  # fmt: skip
        if act is None:
            return "gone"  # it ended between the two reads
        action = act(job)
        with suppress(Refused):  # it moved on, which sets its own next date
            self.doors.store.write(machine.postpone_job(job, now_ms + STALL_MS))
        return action

    def _replan(self, job: Job) -> str:
        plan = load_plan(self.doors.store, job)
        if plan is not None and plan.updated_ms > self.doors.now_ms() - STALL_MS:
            return "plan-in-progress"
        self.doors.queue.send([Pointer("plan", job.tenant, job.job)])
        return "plan-resent"

    def _reopen(self, job: Job) -> str:
        self.doors.queue.send([Pointer("plan", job.tenant, job.job)])
        return "redrive-resent"

    def _close(self, job: Job) -> str:
        self.doors.queue.send([Pointer("finalize", job.tenant, job.job)])
        return "finalize-resent"

    def _recount(self, job: Job) -> str:
        """Compare the counters of a running job with its shards; they can differ only by a fault of ours."""
        if job.n_shards > MAX_RECOUNT_SHARDS:
            return self._close(job) if machine.ready_to_close(job) else "running"
        counted = _count(job, all_shards(self.doors.store, job))
        if load_job(self.doors.store, job.tenant, job.job) != job:
            return "running"  # shards ended while we counted
        if any(getattr(job, name) != value for name, value in counted.items()):
            log_event("counters-repaired", level="error", function="sweep", job_id=job.job)
            self.doors.store.write(machine.repair_counters(job, counted))
        return self._close(job) if counted["shards_open"] == 0 else "running"

    # ---- shards

    def _look_at_shard(self, job: Job, shard: Shard) -> str:
        now_ms = self.doors.now_ms()
        if job.state not in machine.WORKABLE:
            self.doors.store.write(leases.forget(job, shard))
            return "shard-forgotten"
        if leases.exhausted(shard) or (shard.state == machine.LEASED and shard.strikes + 1 >= leases.MAX_STRIKES):
            return self._give_up(job, shard)
        self.doors.queue.send([Pointer("work", job.tenant, job.job, shard.shard)])
        self.doors.store.write(leases.postpone(job, shard, now_ms + STALL_MS))
        return "shard-resent"

    def _give_up(self, job: Job, shard: Shard) -> str:
        write, leased = leases.claim(job, shard, self.doors.now_ms())  # the fence shuts out a worker that still lives
        self.doors.store.write(write)
        reason = shard.reason or "the worker died"
        detail = f"given up after {leased.strikes} tries; last reason: {reason}"
        Settler(self.doors).give_up(job, leased, Problem("given-up", detail))
        return "shard-given-up"


def _count(job: Job, shards: Iterator[Shard]) -> dict[str, int]:
    counts = dict.fromkeys(("shards_done", "shards_failed", "records_ok", "records_failed"), 0)
    for shard in shards:
        counts["shards_done"] += shard.state == DONE
        counts["shards_failed"] += shard.state == FAILED
        counts["records_ok"] += shard.records_ok
        counts["records_failed"] += shard.records_failed
    return counts | {"shards_open": job.n_shards - counts["shards_done"] - counts["shards_failed"]}
