"""Finds a job's uploads and pins each by version, so that a later upload cannot change what is planned."""

from __future__ import annotations

from dataclasses import replace

from functions.batch import keys, machine
from functions.batch.doors import Doors
from functions.batch.items import Input, Job, Plan
from functions.batch.ledger import all_inputs

LIST_PAGE = 500


def pin_inputs(job: Job, plan: Plan, doors: Doors) -> Plan:
    """Pin what is in the job's input folder, in key order, after what is pinned already.

    Returns the plan that knows how many inputs there are. Raises Refused when a twin was first.
    """
    pinned = list(all_inputs(doors.store, job))
    if job.source == "api":
        pinned = _list(job, plan, pinned, doors)
    after = replace(plan, step=plan.step + 1, n_inputs=len(pinned), updated_ms=doors.now_ms())
    doors.store.write(*machine.plan_step(job, plan, after, (), None))
    return after


def _list(job: Job, plan: Plan, pinned: list[Input], doors: Doors) -> list[Input]:
    prefix = keys.input_prefix(job.tenant, job.job)
    after, more = (pinned[-1].key if pinned else ""), True
    while more:
        page = doors.objects.list(doors.input_bucket, prefix, after=after, limit=LIST_PAGE)
        for listed in page.objects:
            stored = doors.objects.head(doors.input_bucket, listed.key)
            if stored is None:
                continue  # deleted since it was listed
            found = Input(
                ordinal=len(pinned), key=stored.key, etag=stored.etag, version=stored.version,
                size_bytes=stored.size_bytes, expires_at=job.expires_at,
            )  # fmt: skip
            doors.store.write(*machine.pin(job, plan, found))
            pinned.append(found)
        more = page.more and bool(page.objects)
        after = page.objects[-1].key if page.objects else after
    return pinned
