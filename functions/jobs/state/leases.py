"""Leases on shards: claim, release, settle, reopen, each as guarded writes.

Pure, like `machine`, whose shard table it obeys. A lease has an end and a fence (`attempt`);
whoever holds an older fence can change nothing. While it is leased a shard is due when its lease ends;
one that waits is its job's to look after. Must not know a store or what a shard holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from functions.jobs.state import keys
from functions.jobs.state.items import Job, Shard
from functions.jobs.state.state_machine import (
    DONE,
    FAILED,
    INDEX,
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

LEASE_MS = 330_000  # a worker lives at most 300 s, so a lease that has expired has no worker
MAX_STRIKES = 5


class Held(Conflict):
    """Another worker holds the lease; `until_ms` says for how long at most."""

    code = "held"

    def __init__(self, shard: Shard) -> None:
        """Keep when the lease ends."""
        super().__init__(f"shard {shard.shard} is leased until {shard.lease_until_ms}, expected it free")
        self.until_ms = shard.lease_until_ms


@dataclass(frozen=True, slots=True)
class Part:
    """A result object that is in the store: its digest, size, and how many rows of each kind it holds."""

    sha256: str
    n_bytes: int
    records_ok: int
    records_failed: int
    model_revision: str = ""


def claim(job: Job, shard: Shard, now_ms: int) -> tuple[Update, Shard]:
    """Lease a shard; returns the write and the shard as it will be, with its new fence.

    Raises Held while another lease runs, Conflict when the shard has ended.
    """
    if shard.state == LEASED and shard.lease_until_ms > now_ms:
        raise Held(shard)
    _check_shard_move(shard, LEASED)
    strikes = shard.strikes + (1 if shard.state == LEASED else 0)
    facts: dict[str, Value] = {
        "state": LEASED, "attempt": shard.attempt + 1, "strikes": strikes, "lease_until_ms": now_ms + LEASE_MS,
    }  # fmt: skip
    guards = (*_held(shard), AtMost("lease_until_ms", now_ms))
    write = Update(_shard_key(job, shard), {**facts, **_index(job, shard, now_ms + LEASE_MS)}, guards=guards)
    return write, replace(shard, **cast("Any", facts))  # the same facts, as the write will leave them


def release(job: Job, shard: Shard, *, strike: bool, reason: str) -> Update:
    """Give a lease back: LEASED -> PENDING. A strike says that the fault may be the shard's own."""
    _check_shard_move(shard, PENDING)
    facts: dict[str, Value] = {
        "state": PENDING, "lease_until_ms": 0, "strikes": shard.strikes + int(strike), "reason": reason[:200],
    }  # fmt: skip
    return Update(_shard_key(job, shard), facts, remove=INDEX, guards=_held(shard))


def settle(job: Job, shard: Shard, part: Part, now_ms: int, *, failed: bool = False) -> tuple[Write, ...]:
    """End a leased shard (DONE, or FAILED when it was given up) and count it, in one transaction.

    Refused at index 0 when the fence has moved on, at index 1 when the job takes no more results.
    """
    to = FAILED if failed else DONE
    _check_shard_move(shard, to)
    facts: dict[str, Value] = {
        "state": to, "part_sha256": part.sha256, "part_bytes": part.n_bytes, "records_ok": part.records_ok,
        "records_failed": part.records_failed, "model_revision": part.model_revision, "ended_ms": now_ms,
    }  # fmt: skip
    counters = {
        "shards_open": -1, "shards_failed" if failed else "shards_done": 1,
        "records_ok": part.records_ok, "records_failed": part.records_failed,
        "records_run": part.records_ok + part.records_failed,
    }  # fmt: skip
    times: dict[str, Value] = {"settled_ms": now_ms}
    if not job.begun_ms:  # of two first shards the later one's time may stand: both are true enough for a rate
        times["begun_ms"] = shard.lease_until_ms - LEASE_MS
    return (
        Update(_shard_key(job, shard), facts, remove=INDEX, guards=_held(shard)),
        Update(keys.job_item(job.tenant, job.job), times, counters, guards=(IsIn("state", WORKABLE),)),
    )


def to_redrive(job: Job, shard: Shard) -> bool:
    """Whether a redriven job has this shard answered again: it ended before this generation with a failed record."""
    return shard.generation < job.generation and shard.state in SHARD_ENDED and shard.records_failed > 0


def reopen(job: Job, shards: Sequence[Shard]) -> tuple[Write, ...]:
    """Open ended shards of a job that is REDRIVING, and take back what they were counted as, in one transaction.

    The fence stays: who held the shard before holds nothing now, and its next claim moves the fence on.
    """
    writes: list[Write] = []
    for shard in shards:
        _check_shard_move(shard, PENDING)
        facts: dict[str, Value] = {
            "state": PENDING, "generation": job.generation, "strikes": 0, "reason": "", "lease_until_ms": 0,
            "part_sha256": "", "part_bytes": 0, "records_ok": 0, "records_failed": 0, "model_revision": "",
            "ended_ms": 0,
        }  # fmt: skip
        guards = (*_held(shard), Is("generation", shard.generation))
        writes.append(Update(_shard_key(job, shard), facts, guards=guards))
    n_failed = sum(shard.state == FAILED for shard in shards)
    counters = {
        "shards_open": len(shards), "shards_failed": -n_failed, "shards_done": n_failed - len(shards),
        "records_ok": -sum(s.records_ok for s in shards), "records_failed": -sum(s.records_failed for s in shards),
    }  # fmt: skip
    guarded = (Is("state", REDRIVING), Is("generation", job.generation))
    return (*writes, Update(keys.job_item(job.tenant, job.job), add=counters, guards=guarded))


def exhausted(shard: Shard) -> bool:
    """Whether a shard has had its chances."""
    return shard.strikes >= MAX_STRIKES


def postpone(job: Job, shard: Shard, due_ms: int) -> Update:
    """Let the sweeper look again later."""
    return Update(_shard_key(job, shard), _index(job, shard, due_ms), guards=_held(shard))


def forget(job: Job, shard: Shard) -> Update:
    """Take a shard out of the index, when nobody holds it or its job takes no more results."""
    return Update(_shard_key(job, shard), remove=INDEX, guards=_held(shard))


def _held(shard: Shard) -> tuple[Is, Is]:
    return Is("state", shard.state), Is("attempt", shard.attempt)


def _check_shard_move(shard: Shard, to: str) -> None:
    if to not in SHARD_MOVES[shard.state]:
        raise Conflict(f"shard {shard.shard} is {shard.state}; from there it cannot become {to}")


def _shard_key(job: Job, shard: Shard) -> keys.Key:
    return keys.shard_item(job.tenant, job.job, shard.shard)


def _index(job: Job, shard: Shard, due_ms: int) -> dict[str, Value]:
    return due(due_ms, f"{job.job}/{shard.shard}")
