"""Jobs and recipes as their owners see them. The status of a job has its progress, its rate and the time left.

Pure. Must not know stores or HTTP.
"""

from __future__ import annotations

import json

from functions.jobs.records.formats import DEFAULT_OUTPUT
from functions.jobs.state import state_machine
from functions.jobs.state.items import Job, PlanProgress, Recipe, iso


def job_json(job: Job, now_ms: int, plan: PlanProgress | None = None) -> dict[str, object]:
    """Return a job's status. While planning goes on, `plan` has the counts so far."""
    spec = json.loads(job.spec) if job.spec else {}
    return {
        "job": job.job,
        "state": job.state,
        "source": job.source,
        **({"recipe": job.recipe} if job.recipe else {}),
        "task": spec.get("task"),
        "model": spec.get("model") or (f"{job.model}:{job.head}" if job.model else None),
        "parameters": spec.get("parameters"),
        "format": spec.get("options"),
        "output": spec.get("output", DEFAULT_OUTPUT),
        **({"prefix": job.names[0]} if job.source == "prefix" and job.names else {"files": list(job.names)}),
        "created_at": iso(job.created_ms),
        "started_at": iso(job.started_ms),
        "finished_at": iso(job.finished_ms),
        "counts": _counts(job, plan),
        **_progress(job, now_ms),
        **({"error": {"code": job.code, "detail": job.detail}} if job.code else {}),
    }


def recipe_json(recipe: Recipe, inbox: str) -> dict[str, object]:
    """Return a recipe, and the inbox whose objects it is for."""
    spec = json.loads(recipe.spec)
    return {
        "name": recipe.name,
        "inbox": inbox,
        "task": spec["task"],
        "model": spec["model"],
        "parameters": spec["parameters"],
        "format": spec["options"],
        "output": spec.get("output", DEFAULT_OUTPUT),
        "created_at": iso(recipe.created_ms),
    }


def counts_json(job: Job) -> dict[str, int]:
    """Return a job's counters."""
    return _counts(job, None)


def _counts(job: Job, plan: PlanProgress | None) -> dict[str, int]:
    return {
        "records": plan.record if plan else job.n_records,
        "succeeded": job.records_ok,
        "failed": job.records_failed,
        "shards": plan.n_shards if plan else job.n_shards,
        "shards_done": job.shards_done,
        "shards_failed": job.shards_failed,
        "unreadable_inputs": plan.n_problems if plan else job.n_problems,
    }


def _progress(job: Job, now_ms: int) -> dict[str, object]:
    """Return the progress from 0 to 1, the rate in records per second, and the seconds left.

    The progress is None until the records are counted, and the seconds are None while they are unknown. The rate is
    that of this generation. It counts from the claim of the first committed shard, so that time in the queue does not
    count.
    """
    answered = job.records_ok + job.records_failed
    until_ms = now_ms if job.state in state_machine.WORKABLE else job.settled_ms
    seconds = (until_ms - job.begun_ms) / 1000 if job.begun_ms else 0.0
    rate = job.records_run / seconds if seconds > 0 else 0.0
    if job.state in state_machine.ENDED:
        return {"progress": 1.0, "records_per_s": round(rate, 1), "eta_s": 0.0}
    counted = job.state in {state_machine.RUNNING, state_machine.FINALIZING}
    left = job.n_records - answered
    return {
        "progress": round(answered / job.n_records, 4) if counted and job.n_records else None,
        "records_per_s": round(rate, 1),
        "eta_s": round(left / rate, 1) if counted and rate > 0 else None,
    }
