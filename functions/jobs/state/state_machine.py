"""The job state machine: the states of jobs and shards, the allowed moves, and the guarded writes that make them.

Pure. Takes items as they were read, and the time. Returns writes whose guards hold only while the items are unchanged.
A move that JOB_MOVES or SHARD_MOVES does not list raises Conflict. docs/batch.md draws the moves. Must not know a
store.

A job passes RUNNING and FINALIZING once in each generation, so its state alone does not say which time it is. Guards on
a job therefore name its generation too, and guards on a shard name its fence.
"""

from __future__ import annotations

from collections.abc import Mapping

from functions.jobs.records import problem_codes
from functions.jobs.state import keys
from functions.jobs.state.items import Input, Job, Listing, PlanProgress, Shard, to_item
from functions.jobs.state.keys import INDEX, INDEX_PARTITION, INDEX_SORT
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
GONE = frozenset({DELETING, DELETED})  # for every caller there is no such job
STOPPED = frozenset({CANCELLING, CANCELLED}) | GONE  # none of its shards is ever answered again
SHARD_ENDED = frozenset({DONE, FAILED})
WORKABLE = (PLANNING, RUNNING, REDRIVING)
STALL_MS = 15 * 60_000  # without progress for this long, a job or shard is looked at by the sweeper
RETENTION_S = 30 * 86_400  # from the creation of a job until its items expire
MIN_REDRIVE_S = 86_400  # what must be left until a job expires when it is redriven
MAX_MOVE_TRIES = 3  # of one call that moves a job, while others move it too


def create(job: Job) -> tuple[Write, ...]:
    """Write a new job and its entry in the tenant's list. Write 0 fails when the id exists."""
    listing = Listing(job=job.job, expires_at=job.expires_at)
    item = to_item(job) | (due(job.created_ms + STALL_MS, job.job) if job.state != CREATED else {})
    return (
        Put(keys.job_item(job.tenant, job.job), item),
        Put(keys.listing_item(job.tenant, job.created_ms, job.job), to_item(listing)),
    )


def move(job: Job, to: str, now_ms: int, **attributes: Value) -> Update:
    """Move a job out of the state in which it was read, and set `attributes`.

    Raises Conflict when the move is not allowed. The job stays in the sweeper's index until its end was
    announced, or until it is DELETED.
    """
    if to not in JOB_MOVES[job.state]:
        raise Conflict(f"job {job.job} is {job.state}; from there it cannot become {to}")
    index = {} if to == DELETED else due(now_ms + STALL_MS, job.job)
    ended: dict[str, Value] = {"finished_ms": now_ms} if to in ENDED else {}
    return Update(
        keys.job_item(job.tenant, job.job),
        set={"state": to, **index, **ended, **attributes},
        remove=INDEX if to == DELETED else (),
        guards=unchanged(job),
    )


def unchanged(job: Job) -> tuple[Is, Is]:
    """Return the guards that a job still has the state and the generation with which it was read."""
    return Is("state", job.state), Is("generation", job.generation)


def cancel(job: Job, now_ms: int) -> Update:
    """Stop a job. No shard is committed after this. Raises Conflict when it is too late to stop it."""
    return move(job, CANCELLED if job.state == CREATED else CANCELLING, now_ms, closing_ms=now_ms)


def begin_planning(job: Job, plan: PlanProgress, now_ms: int, **attributes: Value) -> tuple[Write, ...]:
    """Move SUBMITTED -> PLANNING, and write the first plan progress."""
    attributes = {"started_ms": now_ms, **attributes}
    return (move(job, PLANNING, now_ms, **attributes), Put(keys.plan_item(job.tenant, job.job), to_item(plan)))


def count_plan_run(job: Job, plan: PlanProgress, add: int) -> Update:
    """Add `add` to the count of planner runs. The count lets the planner give up an input that kills planners."""
    return Update(keys.plan_item(job.tenant, job.job), add={"runs": add}, guards=(Is("step", plan.step),))


def pin(job: Job, plan: PlanProgress, found: Input) -> tuple[Write, ...]:
    """Pin the next input of a job that is PLANNING."""
    check = Check(keys.plan_item(job.tenant, job.job), (Is("step", plan.step),))
    planning = Check(keys.job_item(job.tenant, job.job), (Is("state", PLANNING),))
    return (Put(keys.input_item(job.tenant, job.job, found.ordinal), to_item(found)), check, planning)


def plan_step(
    job: Job, plan: PlanProgress, after: PlanProgress, shards: tuple[Shard, ...], problem: Input | None
) -> tuple[Write, ...]:
    """Move the plan progress, and add shards or an input's problem. A write fails when another planner was first."""
    put = (Put(keys.shard_item(job.tenant, job.job, shard.shard), to_item(shard)) for shard in shards)
    update = Update(keys.plan_item(job.tenant, job.job), set=to_item(after), guards=(Is("step", plan.step),))
    check = Check(keys.job_item(job.tenant, job.job), (Is("state", PLANNING),))
    if problem is None:
        return (update, check, *put)
    attributes: dict[str, Value] = {"code": problem.code, "detail": problem.detail}
    return (update, check, *put, Update(keys.input_item(job.tenant, job.job, problem.ordinal), set=attributes))


def end_planning(job: Job, plan: PlanProgress, now_ms: int) -> tuple[Write, ...]:
    """Move PLANNING -> RUNNING. From here on the job's totals are known, and `shards_open` can reach zero."""
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
    """Move RUNNING -> FINALIZING when no shard is open. Of several such writes only one succeeds."""
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
    """Move FINALIZING or CANCELLING -> the end state. The manifest must exist by now."""
    attributes: dict[str, Value] = {"manifest_sha256": manifest_sha256}
    if outcome(job) == FAILED and not job.code:
        attributes |= _why_failed(job)
    return move(job, outcome(job), now_ms, **attributes)


def _why_failed(job: Job) -> dict[str, Value]:
    if job.n_inputs:
        detail = f"none of {job.records_failed} records could be answered; the errors are in the results"
        return {"code": problem_codes.NO_RECORD_SUCCEEDED, "detail": detail}
    if job.source != "prefix":
        detail = "got no file: what was uploaded was gone before it was read, expected one at least; make a new job"
        return {"code": problem_codes.NO_OBJECT, "detail": detail}
    place = keys.data_prefix(job.tenant) + job.names[0]
    detail = f"got no object under {place}, expected one at least; put some there, or name another prefix, in a new job"
    return {"code": problem_codes.NO_OBJECT, "detail": detail}


def redrive(job: Job, now_ms: int) -> Update:
    """Move an ended job -> REDRIVING, into its next generation. Raises Conflict when no record could improve."""
    if job.state in {PARTIALLY_SUCCEEDED, FAILED} and not job.records_failed:
        wrong = f"{job.n_problems} of its {job.n_inputs} objects could not be read" if job.n_problems else job.detail
        raise Conflict(f"job {job.job} has no failed record to redrive ({wrong}); send what was not read as a new job")
    if job.state in {PARTIALLY_SUCCEEDED, FAILED} and job.expires_at - now_ms // 1000 < MIN_REDRIVE_S:
        raise Conflict(f"job {job.job} expires within a day, too soon to be redriven; send it as a new job")
    cleared: dict[str, Value] = {} if job.n_problems else {"code": "", "detail": ""}  # the problems of inputs stay
    return move(
        job, REDRIVING, now_ms, generation=job.generation + 1, redriven_ms=now_ms, closing_ms=0, finished_ms=0,
        manifest_sha256="", replaces_sha256=job.manifest_sha256, begun_ms=0, settled_ms=0, records_run=0, **cleared,
    )  # fmt: skip


def pin_model(job: Job, attributes: Mapping[str, Value]) -> Update:
    """Set what answers the shards of a redriven job: the model, tokenizer and catalog of today."""
    return Update(keys.job_item(job.tenant, job.job), attributes, guards=unchanged(job))


def end_redriving(job: Job, now_ms: int) -> Update:
    """Move REDRIVING -> RUNNING, when every shard that must be answered again is open."""
    return move(job, RUNNING, now_ms)


def delete(job: Job, now_ms: int) -> Update:
    """Move a job that was not started or has ended -> DELETING. Raises Conflict while the job goes on."""
    return move(job, DELETING, now_ms, closing_ms=now_ms, names=[], code="", detail="")


def end_deleting(job: Job, now_ms: int) -> Update:
    """Move DELETING -> DELETED. The item stays until it expires, so that no repeated event makes the job again."""
    return move(job, DELETED, now_ms, spec="", recipe="", manifest_sha256="", replaces_sha256="")


def must_announce(job: Job) -> bool:
    """Whether a job has ended and the end of this generation was not announced yet."""
    return job.state in ENDED and job.announced <= job.generation


def announced(job: Job) -> Update:
    """Note that the end of this generation was announced. Nothing of the job is due any more."""
    attributes: dict[str, Value] = {"announced": job.generation + 1}
    return Update(keys.job_item(job.tenant, job.job), attributes, remove=INDEX, guards=unchanged(job))


def leave_index(job: Job) -> Update:
    """Take a job out of the index. Nothing of it is due."""
    return Update(keys.job_item(job.tenant, job.job), remove=INDEX, guards=unchanged(job))


def is_stalled(job: Job, now_ms: int) -> bool:
    """Whether no shard of a job has ended for STALL_MS. A message may have been lost."""
    return now_ms - max(job.settled_ms, job.redriven_ms, job.started_ms) >= STALL_MS


def postpone_job(job: Job, due_ms: int) -> Update:
    """Let the sweeper look at a job again at `due_ms`."""
    return Update(keys.job_item(job.tenant, job.job), due(due_ms, job.job), guards=unchanged(job))


def repair_counters(job: Job, counted: Mapping[str, int]) -> Update:
    """Set a job's counters to the sums over its shards. Fails when they changed since the job was read."""
    guards = (*unchanged(job), *(Is(name, getattr(job, name)) for name in counted))
    return Update(keys.job_item(job.tenant, job.job), set=dict(counted), guards=guards)


def due(due_ms: int, name: str) -> dict[str, Value]:
    """Return the attributes that put a job or shard into the index of what the sweeper must look at."""
    return {INDEX_PARTITION: keys.due_partition(name), INDEX_SORT: keys.due_sort(due_ms, name)}
