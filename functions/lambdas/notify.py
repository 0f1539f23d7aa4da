"""The door that calls webhooks: settings are read here, once, at init."""

from __future__ import annotations

from typing import Any

from functions.jobs.state.webhooks import Reach
from functions.jobs.steps.notify import Notifier
from functions.jobs.steps.webhook_client import post
from functions.jobs.storage.aws import open_queue, open_store, wall_clock_ms
from shared.settings import Settings, read_settings


class NotifySettings(Settings):
    """The table that holds webhooks, the queue of events, and which addresses may be called."""

    jobs_table: str
    notify_queue_url: str
    webhook_reach: Reach = "public"


def build(settings: NotifySettings) -> Notifier:
    """Make the notifier."""
    return Notifier(
        store=open_store(settings.jobs_table),
        queue=open_queue({"notify": settings.notify_queue_url}),
        post=lambda url, body, headers: post(url, body, headers, reach=settings.webhook_reach),
        now_ms=wall_clock_ms,
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - the runtime passes it
    """Answer one event of the notify queue."""
    return notifier.answer(event)


notifier = build(read_settings(NotifySettings))
