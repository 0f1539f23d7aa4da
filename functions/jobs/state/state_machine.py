"""The job machine: which states there are, which moves are allowed, and the guarded writes that make them.

Pure: takes items as read and the time, returns writes whose guards hold only while those items
are still true. A move that is not in the tables raises Conflict. Must not know a store.

    job    CREATED -> SUBMITTED -> PLANNING -> RUNNING -> FINALIZING -> SUCCEEDED | PARTIALLY_SUCCEEDED | FAILED
           PARTIALLY_SUCCEEDED, FAILED -> REDRIVING -> RUNNING (the next generation)
           SUBMITTED, PLANNING, RUNNING, REDRIVING -> CANCELLING -> CANCELLED;  CREATED -> CANCELLED
           CREATED, and what has ended -> DELETING -> DELETED
    shard  PENDING -> LEASED -> DONE | FAILED;  LEASED -> PENDING (released) | LEASED (lease expired, taken over)
           DONE, FAILED -> PENDING (redriven)

A job passes RUNNING and FINALIZING once a generation, so a state alone does not say which time it
is: guards on a job name its generation too, guards on a shard its fence.
"""

from __future__ import annotations

from collections.abc import Mapping

from functions.jobs.state import keys
from functions.jobs.state.items import Input, Job, Listing, Plan, Shard, to_item
from functions.jobs.state.transactions import Check, Is, Put, Update, Value, Write
from shared.errors import Conflict

CREATED, SUBMITTED, PLANNING, RUNNING = "CREATED", "SUBMITTED", "PLANNING", "RUNNING"
FINALIZING, SUCCEEDED, PARTIALLY_SUCCEEDED = "FINALIZING", "SUCCEEDED", "PARTIALLY_SUCCEEDED"
FAILED, CANCELLING, CANCELLED = "FAILED", "CANCELLING", "CANCELLED"
REDRIVING, DELETING, DELETED = "REDRIVING", "DELETING", "DELETED"
PENDING, LEASED, DONE = "PENDING", "LEASED", "DONE"

JOB_MOVES: Mapping[str, frozenset[str]] = {
    CREATED: frozenset({SUBMITTED, CANCELLED, DELETING}),
    SUBMITTED: frozenset({PLANNING, CANCELLING}),
    PLANNING: frozenset({RUNNING, CANCELLING}),
    RUNNING: frozenset({FINALIZING, CANCELLING}),
    FINALIZING: frozenset({SUCCEEDED, PARTIALLY_SUCCEEDED, FAILED}),
    CANCELLING: frozenset({CANCELLED}),
    SUCCEEDED: frozenset({DELETING}),
    PARTIALLY_SUCCEEDED: frozenset({REDRIVING, DELETING}),
    FAILED: frozenset({REDRIVING, DELETING}),
    CANCELLED: frozenset({DELETING}),
    REDRIVING: frozenset({RUNNING, CANCELLING}),
    DELETING: frozenset({DELETED}),
    DELETED: frozenset(),
}
SHARD_MOVES: Mapping[str, frozenset[str]] = {
    PENDING: frozenset({LEASED}),
    LEASED: frozenset({LEASED, PENDING, DONE, FAILED}),
    DONE: frozenset({PENDING}),
    FAILED: frozenset({PENDING}),
}
ENDED = frozenset({SUCCEEDED, PARTIALLY_SUCCEEDED, FAILED, CANCELLED})
GONE = frozenset({DELETING, DELETED})  # to everyone outside there is no such job
STOPPED = frozenset({CANCELLING, CANCELLED}) | GONE  # no shard of it is ever answered again
SHARD_ENDED = frozenset({DONE, FAILED})
WORKABLE = (PLANNING, RUNNING, REDRIVING)
STALL_MS = 15 * 60_000  # how long a job or shard may stand still before the sweeper looks
RETENTION_S = 30 * 86_400  # of everything in the table, from the job's creation on
REDRIVE_LEAST_S = 86_400  # of that must be left to a job that is to be redriven
INDEX = ("gsi1pk", "gsi1sk")


def create(job: Job) -> tuple[Write, ...]:
    """Write a new job and its line in the tenant's list; refused (index 0) when the id exists."""
    listing = Listing(job=job.job, expires_at=job.expires_at)
    item = to_item(job) | (due(job.created_ms + STALL_MS, job.job) if job.state != CREATED else {})
    return (
        Put(keys.job_item(job.tenant, job.job), item),
        Put(keys.listing_item(job.tenant, job.created_ms, job.job), to_item(listing)),
    )


def move(job: Job, to: str, now_ms: int, **facts: Value) -> Update:
    """Move a job, guarded by the state it was read in. Raises Conflict when that move does not exist.

    It is due until it is DELETED; one that has ended, until its end was announced.
    """
    if to not in JOB_MOVES[job.state]:
        raise Conflict(f"job {job.job} is {job.state}; from there it cannot become {to}")
    index = {} if to == DELETED else due(now_ms + STALL_MS, job.job)
    ended: dict[str, Value] = {"finished_ms": now_ms} if to in ENDED else {}
    return Update(
        keys.job_item(job.tenant, job.job),
        set={"state": to, **index, **ended, **facts},
        remove=INDEX if to == DELETED else (),
        guards=standing(job),
    )


def standing(job: Job) -> tuple[Is, Is]:
    """Return the guards under which a job is still where it was read: state and generation."""
    return Is("state", job.state), Is("generation", job.generation)


def cancel(job: Job, now_ms: int) -> Update:
    """Stop a job: no shard commits after this. Raises Conflict when it is past stopping."""
    return move(job, CANCELLED if job.state == CREATED else CANCELLING, now_ms, closing_ms=now_ms)


def begin_planning(job: Job, plan: Plan, now_ms: int, **facts: Value) -> tuple[Write, ...]:
    """Move SUBMITTED -> PLANNING, together with the first checkpoint."""
    facts = {"started_ms": now_ms, **facts}
    return (move(job, PLANNING, now_ms, **facts), Put(keys.plan_item(job.tenant, job.job), to_item(plan)))


def plan_run(job: Job, plan: Plan, add: int) -> Update:
    """Count a run of the planner (or take one back), so that an input that kills planners is given up at last."""
    return Update(keys.plan_item(job.tenant, job.job), add={"runs": add}, guards=(Is("step", plan.step),))


def pin(job: Job, plan: Plan, found: Input) -> tuple[Write, ...]:
    """Pin the next input of a job whose plan is still being prepared."""
    check = Check(keys.plan_item(job.tenant, job.job), (Is("step", plan.step),))
    planning = Check(keys.job_item(job.tenant, job.job), (Is("state", PLANNING),))
    return (Put(keys.input_item(job.tenant, job.job, found.ordinal), to_item(found)), check, planning)


def plan_step(job: Job, plan: Plan, after: Plan, shards: tuple[Shard, ...], problem: Input | None) -> tuple[Write, ...]:
    """Add shards (or an input's problem) and move the checkpoint; refused when another planner was first."""
    put = (Put(keys.shard_item(job.tenant, job.job, shard.shard), to_item(shard)) for shard in shards)
    update = Update(keys.plan_item(job.tenant, job.job), set=to_item(after), guards=(Is("step", plan.step),))
    check = Check(keys.job_item(job.tenant, job.job), (Is("state", PLANNING),))
    if problem is None:
        return (update, check, *put)
    facts: dict[str, Value] = {"code": problem.code, "detail": problem.detail}
    return (update, check, *put, Update(keys.input_item(job.tenant, job.job, problem.ordinal), set=facts))


def end_planning(job: Job, plan: Plan, now_ms: int) -> tuple[Write, ...]:
    """Move PLANNING -> RUNNING: from here on the job's totals are known, and `shards_open` can reach zero."""
    update = move(
        job, RUNNING, now_ms, n_inputs=plan.n_inputs, n_records=plan.record, n_shards=plan.n_shards,
        n_problems=plan.n_problems, code=plan.code, detail=plan.detail,
    )  # fmt: skip
    update = Update(update.key, update.set, {"shards_open": plan.n_shards}, update.remove, update.guards)
    return (update, Check(keys.plan_item(job.tenant, job.job), (Is("step", plan.step),)))


def ready_to_close(job: Job) -> bool:
    """Whether every planned shard has ended."""
    return job.state == RUNNING and job.shards_open == 0


def close(job: Job, now_ms: int) -> Update:
    """Move RUNNING -> FINALIZING, once and only when no shard is open: whoever's write this is has won."""
    if not ready_to_close(job):
        raise Conflict(f"job {job.job} is {job.state} with {job.shards_open} open shards, expected RUNNING with none")
    update = move(job, FINALIZING, now_ms, closing_ms=now_ms)
    return Update(update.key, update.set, guards=(*update.guards, Is("shards_open", 0)))


def outcome(job: Job) -> str:
    """Return the state in which a closing job ends."""
    if job.state == CANCELLING:
        return CANCELLED
    if job.records_ok and not job.records_failed and not job.n_problems:
        return SUCCEEDED
    return PARTIALLY_SUCCEEDED if job.records_ok else FAILED


def end(job: Job, manifest_sha256: str, now_ms: int) -> Update:
    """Move FINALIZING or CANCELLING -> the end, after the manifest is in the store."""
    facts: dict[str, Value] = {"manifest_sha256": manifest_sha256}
    if outcome(job) == FAILED and not job.code:
        facts |= _why_failed(job)
    return move(job, outcome(job), now_ms, **facts)


def _why_failed(job: Job) -> dict[str, Value]:
    if job.n_inputs:
        detail = f"none of {job.records_failed} records could be answered; the errors are in the results"
        return {"code": "no-record-succeeded", "detail": detail}
    if job.source != "prefix":
        detail = "got no file: what was uploaded was gone before it was read, expected one at least; make a new job"
        return {"code": "no-object", "detail": detail}
    place = keys.data_prefix(job.tenant) + job.names[0]
    detail = f"got no object under {place}, expected one at least; put some there, or name another prefix, in a new job"
    return {"code": "no-object", "detail": detail}


def redrive(job: Job, now_ms: int) -> Update:
    """Move an ended job -> REDRIVING, one generation on. Raises Conflict when nothing of it could come out better."""
    if job.state in {PARTIALLY_SUCCEEDED, FAILED} and not job.records_failed:
        wrong = f"{job.n_problems} of its {job.n_inputs} objects could not be read" if job.n_problems else job.detail
        raise Conflict(f"job {job.job} has no failed record to redrive ({wrong}); send what was not read as a new job")
    if job.state in {PARTIALLY_SUCCEEDED, FAILED} and job.expires_at - now_ms // 1000 < REDRIVE_LEAST_S:
        raise Conflict(f"job {job.job} expires within a day, too soon to be redriven; send it as a new job")
    cleared: dict[str, Value] = {} if job.n_problems else {"code": "", "detail": ""}  # the inputs' problems stay
    return move(
        job, REDRIVING, now_ms, generation=job.generation + 1, redriven_ms=now_ms, closing_ms=0, finished_ms=0,
        manifest_sha256="", replaces_sha256=job.manifest_sha256, begun_ms=0, settled_ms=0, records_run=0, **cleared,
    )  # fmt: skip


def repin(job: Job, facts: Mapping[str, Value]) -> Update:
    """Say what answers a redriven job's shards from now on: the model, tokenizer and catalog of today."""
    return Update(keys.job_item(job.tenant, job.job), facts, guards=standing(job))


def end_redriving(job: Job, now_ms: int) -> Update:
    """Move REDRIVING -> RUNNING, when every shard that is to be answered again is open."""
    return move(job, RUNNING, now_ms)


def delete(job: Job, now_ms: int) -> Update:
    """Move a job that was not started, or has ended -> DELETING. Raises Conflict while it goes on."""
    return move(job, DELETING, now_ms, closing_ms=now_ms, names=[], code="", detail="")


def forget_job(job: Job, now_ms: int) -> Update:
    """Move DELETING -> DELETED: what stays, until it expires, keeps a repeated event from making the job anew."""
    return move(job, DELETED, now_ms, spec="", recipe="", manifest_sha256="", replaces_sha256="")


def to_announce(job: Job) -> bool:
    """Whether a job has ended and nobody was told of this generation's end."""
    return job.state in ENDED and job.announced <= job.generation


def announced(job: Job) -> Update:
    """Note that the end of this generation was told: then nothing is due any more."""
    facts: dict[str, Value] = {"announced": job.generation + 1}
    return Update(keys.job_item(job.tenant, job.job), facts, remove=INDEX, guards=standing(job))


def rest(job: Job) -> Update:
    """Take a job out of the index, when nothing of it is due."""
    return Update(keys.job_item(job.tenant, job.job), remove=INDEX, guards=standing(job))


def stands_still(job: Job, now_ms: int) -> bool:
    """Whether none of a job's shards has ended for so long that a message may be lost."""
    return now_ms - max(job.settled_ms, job.redriven_ms, job.started_ms) >= STALL_MS


def postpone_job(job: Job, due_ms: int) -> Update:
    """Let the sweeper look again later."""
    return Update(keys.job_item(job.tenant, job.job), due(due_ms, job.job), guards=standing(job))


def repair_counters(job: Job, counted: Mapping[str, int]) -> Update:
    """Set a job's counters to what its shards say; refused when they moved since the job was read."""
    guards = (*standing(job), *(Is(name, getattr(job, name)) for name in counted))
    return Update(keys.job_item(job.tenant, job.job), set=dict(counted), guards=guards)


def due(due_ms: int, name: str) -> dict[str, Value]:
    """Return the attributes that put a job or shard in the sparse index of what the sweeper must look at."""
    return {"gsi1pk": keys.due_partition(name), "gsi1sk": keys.due_sort(due_ms, name)}
