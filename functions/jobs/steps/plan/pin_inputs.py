"""Finds a job's objects and pins each by version, so that a later upload cannot change what is planned.

Pages of a listing, some objects a transaction; what is pinned is never listed again, so that a
planner that was cut off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from functions.jobs.records.formats import ObjectProblem
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, Plan
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import last_input

PIN_MOST = 50  # objects that one transaction pins, and one page lists
MAX_INPUTS = 50_000  # of one job: each has a shard at least, and the manifest names them all


def pin_inputs(
    job: Job, plan: Plan, doors: Doors, may_go_on: Callable[[], bool], most: int = MAX_INPUTS
) -> Plan | None:
    """Pin what is under the job's prefix, in key order, after what is pinned already.

    Returns the plan that knows how many inputs there are, or None when it may not go on. Raises Refused
    when a twin was first, ObjectProblem when there are more than a job can have.
    """
    last = last_input(doors.store, job)
    n_inputs, after = (last.ordinal + 1, last.key) if last else (0, "")
    while job.source != "inbox":
        if not may_go_on():
            return None
        page = doors.objects.list(doors.input_bucket, _prefix(job), after=after, limit=PIN_MOST)
        found = _heads(job, [listed.key for listed in page.objects], n_inputs, doors)
        _check_room(n_inputs + len(found), most)
        writes = {write.key: write for each in found for write in state_machine.pin(job, plan, each)}
        if writes:
            doors.store.write(*writes.values())
        n_inputs += len(found)
        if not page.more or not page.objects:
            break
        after = page.objects[-1].key
    after_plan = replace(plan, step=plan.step + 1, runs=0, n_inputs=n_inputs, updated_ms=doors.now_ms())
    doors.store.write(*state_machine.plan_step(job, plan, after_plan, (), None))
    return after_plan


def _prefix(job: Job) -> str:
    if job.source == "prefix":
        return keys.data_prefix(job.tenant) + job.names[0]
    return keys.input_prefix(job.tenant, job.job)


def _heads(job: Job, names: list[str], ordinal: int, doors: Doors) -> list[Input]:
    """Return what is at the keys now; what was deleted since it was listed, and folders, are passed over."""
    found: list[Input] = []
    for name in names:
        stored = None if name.endswith("/") else doors.objects.head(doors.input_bucket, name)
        if stored is not None:
            each = Input(
                ordinal=ordinal + len(found), key=stored.key, etag=stored.etag, version=stored.version,
                size_bytes=stored.size_bytes, expires_at=job.expires_at,
            )  # fmt: skip
            found.append(each)
    return found


def _check_room(n_inputs: int, most: int) -> None:
    if n_inputs > most:
        detail = f"got more than {most} objects, at most that many in one job: name a longer prefix"
        raise ObjectProblem("too-large", f"{detail}, or send JSON lines, which hold many texts in one object")
