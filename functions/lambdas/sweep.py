"""The Lambda function that restarts what stands still: wires the sweeper. A schedule invokes it."""

from __future__ import annotations

from typing import Any

from functions.jobs.steps.commit import ShardCommit
from functions.jobs.steps.sqs_handler import time_left
from functions.jobs.steps.sweep import Sweeper
from functions.jobs.storage.aws import open_objects, open_queue, open_table, wall_clock_ms
from functions.lambdas.settings import BatchSettings, read_function_settings


def build(settings: BatchSettings) -> Sweeper:
    """Make the sweeper."""
    table, objects = open_table(settings.jobs_table), open_objects(settings.account_id)
    queue = open_queue(
        {
            "plan": settings.plan_queue_url,
            "work": settings.work_queue_url,
            "finalize": settings.finalize_queue_url,
        }
    )
    shard_commit = ShardCommit(
        table=table,
        objects=objects,
        queue=queue,
        output_bucket=settings.output_bucket,
        now_ms=wall_clock_ms,
        function="sweep",
    )
    return Sweeper(table=table, queue=queue, shard_commit=shard_commit, now_ms=wall_clock_ms)


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - the event of a schedule says nothing
    """Sweep once; returns how often each action was taken."""
    return sweeper.run(time_left(context))


sweeper = build(read_function_settings(BatchSettings))
