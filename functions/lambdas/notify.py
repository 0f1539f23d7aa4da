"""The Lambda function that calls webhooks: wires the notifier."""

from __future__ import annotations

from typing import Any

from functions.jobs.steps.notify import Notifier
from functions.jobs.steps.webhook_client import post
from functions.jobs.storage.aws import open_queue, open_table, open_webhooks, wall_clock_ms
from functions.lambdas.settings import NotifySettings, read_function_settings


def build(settings: NotifySettings) -> Notifier:
    """Make the notifier."""
    return Notifier(
        table=open_table(settings.jobs_table),
        webhooks=open_webhooks(settings.webhooks_table, settings.webhooks_key),
        queue=open_queue({"notify": settings.notify_queue_url}),
        output_bucket=settings.output_bucket,
        post=lambda url, body, headers: post(url, body, headers, reach=settings.webhook_reach),
        now_ms=wall_clock_ms,
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - the runtime passes it
    """Answer one event of the notify queue."""
    return notifier.handle_event(event)


notifier = build(read_function_settings(NotifySettings))
