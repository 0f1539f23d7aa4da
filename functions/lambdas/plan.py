"""The Lambda function that divides documents into shards: wires the planner."""

from __future__ import annotations

import hashlib
from typing import Any

from functions.jobs.steps.plan.accept_object import ObjectAcceptor
from functions.jobs.steps.plan.pin_inputs import InputPinner
from functions.jobs.steps.plan.planner import Planner
from functions.jobs.steps.plan.read_runs import RunReader
from functions.jobs.steps.redrive import Redriver
from functions.jobs.steps.sqs_handler import time_left
from functions.jobs.storage.aws import open_objects, open_queue, open_table, wall_clock_ms
from functions.lambdas.settings import PlanSettings, read_function_settings
from shared.catalog import parse_catalog


def build(settings: PlanSettings) -> Planner:
    """Read the catalog and make the planner. Raises ValueError or OSError when the catalog cannot be read."""
    catalog = settings.catalog.read_text(encoding="utf-8")
    table, objects, bucket = open_table(settings.jobs_table), open_objects(settings.account_id), settings.input_bucket
    queue = open_queue(
        {
            "plan": settings.plan_queue_url,
            "work": settings.work_queue_url,
            "finalize": settings.finalize_queue_url,
        }
    )
    return Planner(
        table=table,
        queue=queue,
        input_bucket=bucket,
        now_ms=wall_clock_ms,
        acceptor=ObjectAcceptor(table=table, objects=objects, input_bucket=bucket, now_ms=wall_clock_ms),
        pinner=InputPinner(table=table, objects=objects, input_bucket=bucket, now_ms=wall_clock_ms),
        reader=RunReader(objects=objects, input_bucket=bucket, output_bucket=settings.output_bucket),
        redriver=Redriver(table=table, queue=queue, now_ms=wall_clock_ms),
        catalog=parse_catalog(catalog),
        catalog_sha256=hashlib.sha256(catalog.encode()).hexdigest(),
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of the plan queue."""
    return planner.handle_event(event, time_left(context))


planner = build(read_function_settings(PlanSettings))
