"""The Lambda function that closes jobs: wires the finalizer."""

from __future__ import annotations

from typing import Any

from functions.jobs.steps.announce import Announcer
from functions.jobs.steps.delete import Eraser
from functions.jobs.steps.finalize import Finalizer
from functions.jobs.storage.aws import (
    open_event_bus,
    open_objects,
    open_queue,
    open_table,
    open_webhooks,
    wall_clock_ms,
)
from functions.lambdas.settings import FinalizeSettings, read_function_settings


def build(settings: FinalizeSettings) -> Finalizer:
    """Make the finalizer."""
    table, objects = open_table(settings.jobs_table), open_objects(settings.account_id)
    input_bucket, output_bucket = settings.input_bucket, settings.output_bucket
    return Finalizer(
        table=table,
        objects=objects,
        queue=open_queue({"finalize": settings.finalize_queue_url}),
        output_bucket=output_bucket,
        now_ms=wall_clock_ms,
        announcer=Announcer(table=table, event_bus=open_event_bus(settings.event_bus), output_bucket=output_bucket),
        eraser=Eraser(
            table=table,
            objects=objects,
            webhooks=open_webhooks(settings.webhooks_table),
            input_bucket=input_bucket,
            output_bucket=output_bucket,
            now_ms=wall_clock_ms,
        ),
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - the runtime passes it
    """Answer one event of the finalize queue."""
    return finalizer.handle_event(event)


finalizer = build(read_function_settings(FinalizeSettings))
