"""Tells a job's webhook that the job has ended: one signed POST, again with a back-off until it is taken.

Must not know HTTP; the post is handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.jobs.state import keys
from functions.jobs.state.webhooks import sign
from functions.jobs.steps.sqs_handler import SqsMessage, deliver
from functions.jobs.storage.dynamodb_table import Table
from functions.jobs.storage.queries import load_webhook
from functions.jobs.storage.sqs_queue import JobQueue
from shared.errors import DecodeError, Unavailable, Unprocessable
from shared.log import log_event

Post = Callable[[str, bytes, Mapping[str, str]], int]
GONE = 410  # the receiver's word for: never again


@dataclass(frozen=True, slots=True)
class Notifier:
    """Calls webhooks. `post` sends a body to a url and returns the status; `now_ms` dates signatures."""

    store: Table
    queue: JobQueue
    post: Post
    now_ms: Callable[[], int]

    def answer(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the notify queue; returns the partial batch response."""
        return deliver("notify", event, self.handle, self.queue)

    def handle(self, message: SqsMessage) -> None:
        """Call the webhook of the job that an event of the bus speaks of, if it has one.

        Raises DecodeError for foreign messages, Unavailable when the call was not taken.
        """
        detail = message.body.get("detail")
        if not isinstance(detail, dict):
            raise DecodeError("got a message that is no event of a job")
        tenant, job = str(detail.get("tenant", "")), str(detail.get("job", ""))
        if not keys.TENANT.fullmatch(tenant) or not keys.JOB.fullmatch(job):
            raise DecodeError("got an event with malformed names")
        webhook = load_webhook(self.store, tenant, job)
        if webhook is None:
            return
        body = json.dumps(detail, ensure_ascii=False, sort_keys=True).encode()
        headers = {
            "content-type": "application/json",
            "user-agent": "glossa-webhook/1",
            "glossa-event-id": str(detail.get("id", "")),
            "glossa-signature": sign(webhook.secret, body, self.now_ms() // 1000),
        }
        host = urlsplit(webhook.url).hostname
        try:
            status = self.post(webhook.url, body, headers)
        except Unprocessable as refused:  # no repeat makes the address a public one
            log_event("webhook-refused", level="warning", function="notify", job_id=job, reason=refused.message)
            return
        taken = 200 <= status < 300 or status == GONE  # noqa: PLR2004 - HTTP's words for success
        log_event("webhook", function="notify", job_id=job, status=status, url_host=host, attempt=message.receives)
        if not taken:
            raise Unavailable(f"a webhook answered {status}, expected 200 to 299")
