"""Calls a job's webhook when the job has ended: one signed POST, repeated with a back-off until it is taken.

Must not know HTTP: the function that posts is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.jobs.state import keys
from functions.jobs.state.webhooks import sign
from functions.jobs.steps.sqs_handler import SqsMessage, handle_messages
from functions.jobs.storage.contracts import JobQueue, Table
from functions.jobs.storage.queries import load_webhook
from shared.content_types import JSON_TYPE
from shared.errors import DecodeError, Unavailable, Unprocessable
from shared.log import log_event

Post = Callable[[str, bytes, Mapping[str, str]], int]
GONE = 410  # with this status a receiver says: never call again


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """Calls webhooks. `post` sends a body to a URL and returns the status. `now_ms` dates the signatures."""

    table: Table
    queue: JobQueue
    post: Post
    now_ms: Callable[[], int]

    def handle_event(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the notify queue; returns the partial batch response."""
        return handle_messages("notify", event, self.handle_message, self.queue)

    def handle_message(self, message: SqsMessage) -> None:
        """Call the webhook of the job that an event names, if the job has one.

        Raises DecodeError for a message that is not such an event, and Unavailable when the call was not taken.
        """
        detail = message.body.get("detail")
        if not isinstance(detail, dict):
            raise DecodeError("got a message that is no event of a job")
        tenant, job = str(detail.get("tenant", "")), str(detail.get("job", ""))
        if not keys.TENANT.fullmatch(tenant) or not keys.JOB.fullmatch(job):
            raise DecodeError("got an event with malformed names")
        webhook = load_webhook(self.table, tenant, job)
        if webhook is None:
            return
        body = json.dumps(detail, ensure_ascii=False, sort_keys=True).encode()
        headers = {
            "content-type": JSON_TYPE,
            "user-agent": "glossa-webhook/1",
            "glossa-event-id": str(detail.get("id", "")),
            "glossa-signature": sign(webhook.secret, body, self.now_ms() // 1000),
        }
        host = urlsplit(webhook.url).hostname
        try:
            status = self.post(webhook.url, body, headers)
        except Unprocessable as refused:  # the address will not become a public one
            log_event("webhook-refused", level="warning", function="notify", job_id=job, reason=refused.message)
            return
        taken = 200 <= status < 300 or status == GONE  # noqa: PLR2004 - the statuses with which HTTP says success
        log_event("webhook", function="notify", job_id=job, status=status, url_host=host, receives=message.receives)
        if not taken:
            raise Unavailable(f"a webhook answered {status}, expected 200 to 299")
