"""Leases on shards: to claim, release, commit and reopen a shard, each as guarded writes.

Pure. Obeys the moves of shards in `state_machine`. A lease has an end and a fence, the number `attempt`: a worker with
an older fence can change nothing. A leased shard is due for the sweeper when its lease ends; the sweeper finds waiting
shards through their job. Must not know a store, or what a shard holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from functions.jobs.state import keys
from functions.jobs.state.items import Job, Shard
from functions.jobs.state.keys import INDEX
from functions.jobs.state.state_machine import (
    DONE,
    FAILED,
    LEASED,
    PENDING,
    REDRIVING,
    SHARD_ENDED,
    SHARD_MOVES,
    WORKABLE,
    due,
)
from functions.jobs.state.transactions import AtMost, Is, IsIn, Update, Value, Write
from shared.errors import Conflict

FUNCTION_TIMEOUT_MS = 300_000  # the longest timeout of a function in template.yaml
LEASE_MS = FUNCTION_TIMEOUT_MS + 30_000  # when its lease ends, a worker has been stopped
MAX_STRIKES = 5


class Held(Conflict):
    """Another worker holds the lease. It ends at `until_ms` (epoch milliseconds) at the latest."""

    code = "held"

    def __init__(self, shard: Shard) -> None:
        """Keep when the lease ends."""
        super().__init__(f"shard {shard.shard} is leased until {shard.lease_until_ms}, expected it free")
        self.until_ms = shard.lease_until_ms


@dataclass(frozen=True, slots=True)
class Part:
    """A part object that exists: its digest, its size, and how many rows of each kind it holds."""

    sha256: str
    n_bytes: int
    records_ok: int
    records_failed: int
    model_revision: str = ""


def claim(job: Job, shard: Shard, now_ms: int) -> tuple[Update, Shard]:
    """Lease a shard. Returns the write, and the shard as the write leaves it, with its new fence.

    Raises Held while another lease runs, and Conflict when the shard has ended.
    """
    if shard.state == LEASED and shard.lease_until_ms > now_ms:
        raise Held(shard)
    _check_shard_move(shard, LEASED)
    strikes = shard.strikes + (1 if shard.state == LEASED else 0)
    attributes: dict[str, Value] = {
        "state": LEASED, "attempt": shard.attempt + 1, "strikes": strikes, "lease_until_ms": now_ms + LEASE_MS,
    }  # fmt: skip
    guards = (*_fence(shard), AtMost("lease_until_ms", now_ms))
    write = Update(_shard_key(job, shard), {**attributes, **_index(job, shard, now_ms + LEASE_MS)}, guards=guards)
    return write, replace(shard, **cast("Any", attributes))  # the attributes that the write sets


def release(job: Job, shard: Shard, *, strike: bool, reason: str) -> Update:
    """Give a lease back: LEASED -> PENDING. A strike says that the shard itself may be the cause."""
    _check_shard_move(shard, PENDING)
    attributes: dict[str, Value] = {
        "state": PENDING, "lease_until_ms": 0, "strikes": shard.strikes + int(strike), "reason": reason[:200],
    }  # fmt: skip
    return Update(_shard_key(job, shard), attributes, remove=INDEX, guards=_fence(shard))


def commit_writes(job: Job, shard: Shard, part: Part, now_ms: int, *, failed: bool = False) -> tuple[Write, ...]:
    """End a leased shard and count it, in one transaction. It ends DONE, or FAILED when it was given up.

    Write 0 fails when another worker has claimed the shard since. Write 1 fails when the job takes no more results.
    """
    to = FAILED if failed else DONE
    _check_shard_move(shard, to)
    attributes: dict[str, Value] = {
        "state": to, "part_sha256": part.sha256, "part_bytes": part.n_bytes, "records_ok": part.records_ok,
        "records_failed": part.records_failed, "model_revision": part.model_revision, "ended_ms": now_ms,
    }  # fmt: skip
    counters = {
        "shards_open": -1, "shards_failed" if failed else "shards_done": 1,
        "records_ok": part.records_ok, "records_failed": part.records_failed,
        "records_run": part.records_ok + part.records_failed,
    }  # fmt: skip
    times: dict[str, Value] = {"settled_ms": now_ms}
    if not job.begun_ms:  # two shards may both be the first; either time is good enough for a rate
        times["begun_ms"] = shard.lease_until_ms - LEASE_MS
    return (
        Update(_shard_key(job, shard), attributes, remove=INDEX, guards=_fence(shard)),
        Update(keys.job_item(job.tenant, job.job), times, counters, guards=(IsIn("state", WORKABLE),)),
    )


def must_redrive(job: Job, shard: Shard) -> bool:
    """Whether a redrive answers this shard again: it ended in an earlier generation, and a record of it failed."""
    return shard.generation < job.generation and shard.state in SHARD_ENDED and shard.records_failed > 0


def reopen(job: Job, shards: Sequence[Shard]) -> tuple[Write, ...]:
    """Open ended shards of a job that is REDRIVING and subtract them from its counters, in one transaction.

    The fence stays as it is: nobody holds an ended shard, and the next claim raises the fence.
    """
    writes: list[Write] = []
    for shard in shards:
        _check_shard_move(shard, PENDING)
        attributes: dict[str, Value] = {
            "state": PENDING, "generation": job.generation, "strikes": 0, "reason": "", "lease_until_ms": 0,
            "part_sha256": "", "part_bytes": 0, "records_ok": 0, "records_failed": 0, "model_revision": "",
            "ended_ms": 0,
        }  # fmt: skip
        guards = (*_fence(shard), Is("generation", shard.generation))
        writes.append(Update(_shard_key(job, shard), attributes, guards=guards))
    n_failed = sum(shard.state == FAILED for shard in shards)
    counters = {
        "shards_open": len(shards), "shards_failed": -n_failed, "shards_done": n_failed - len(shards),
        "records_ok": -sum(s.records_ok for s in shards), "records_failed": -sum(s.records_failed for s in shards),
    }  # fmt: skip
    job_guards = (Is("state", REDRIVING), Is("generation", job.generation))
    return (*writes, Update(keys.job_item(job.tenant, job.job), add=counters, guards=job_guards))


def exhausted(shard: Shard) -> bool:
    """Whether a shard has used up its strikes."""
    return shard.strikes >= MAX_STRIKES


def postpone(job: Job, shard: Shard, due_ms: int) -> Update:
    """Let the sweeper look at a shard again at `due_ms`."""
    return Update(_shard_key(job, shard), _index(job, shard, due_ms), guards=_fence(shard))


def leave_index(job: Job, shard: Shard) -> Update:
    """Take a shard out of the index. Nobody holds it, or its job takes no more results."""
    return Update(_shard_key(job, shard), remove=INDEX, guards=_fence(shard))


def _fence(shard: Shard) -> tuple[Is, Is]:
    return Is("state", shard.state), Is("attempt", shard.attempt)


def _check_shard_move(shard: Shard, to: str) -> None:
    if to not in SHARD_MOVES[shard.state]:
        raise Conflict(f"shard {shard.shard} is {shard.state}; from there it cannot become {to}")


def _shard_key(job: Job, shard: Shard) -> keys.Key:
    return keys.shard_item(job.tenant, job.job, shard.shard)


def _index(job: Job, shard: Shard, due_ms: int) -> dict[str, Value]:
    return due(due_ms, f"{job.job}/{shard.shard}")
