"""Calls a job's webhook when the job has ended: one signed POST, repeated with a back-off until it is taken.

The event only says which job to look at. What is sent comes from the item of the job, so that nobody who can forge,
keep or repeat an event can have us sign it. Must not know HTTP: the function that posts is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job
from functions.jobs.state.webhooks import Webhook, sign
from functions.jobs.steps.announce import JOB_ENDED, ended_detail
from functions.jobs.steps.sqs_handler import SqsMessage, handle_messages
from functions.jobs.storage.contracts import EVENT_SOURCE, JobQueue, Table
from functions.jobs.storage.queries import load_job
from functions.jobs.storage.webhook_store import WebhookStore
from shared.content_types import JSON_TYPE
from shared.errors import DecodeError, Unavailable, Unprocessable
from shared.log import log_event

Post = Callable[[str, bytes, Mapping[str, str]], int]
GONE = 410  # with this status a receiver says: never call again


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """Calls webhooks. `post` sends a body to a URL and returns the status. `now_ms` dates the signatures."""

    table: Table
    webhooks: WebhookStore
    queue: JobQueue
    output_bucket: str
    post: Post
    now_ms: Callable[[], int]

    def handle_event(self, event: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the notify queue; returns the partial batch response."""
        return handle_messages("notify", event, self.handle_message, self.queue)

    def handle_message(self, message: SqsMessage) -> None:
        """Call the webhook of the job that an event names, if the job has ended in that generation and has one.

        Raises DecodeError for a message that is not such an event, and Unavailable when the call was not taken.
        """
        tenant, job_id, generation = read_end(message.body)
        job = load_job(self.table, tenant, job_id)
        if job is None or job.state not in state_machine.ENDED or job.generation != generation:
            state = f"{job.state}, generation {job.generation}" if job else "unknown"
            log_event(
                "event-refused", level="warning", function="notify", job_id=job_id, generation=generation, state=state,
                reason="the job has not ended in this generation",
            )  # fmt: skip
            return
        webhook = self.webhooks.find(job)
        if webhook is not None:
            self._call(job, webhook, message.receives)

    def _call(self, job: Job, webhook: Webhook, receives: int) -> None:
        detail = ended_detail(job, self.output_bucket)
        body = json.dumps(detail, ensure_ascii=False, sort_keys=True).encode()
        headers = {
            "content-type": JSON_TYPE,
            "user-agent": "glossa-webhook/1",
            "glossa-event-id": str(detail["id"]),
            "glossa-signature": sign(webhook.secret, body, self.now_ms() // 1000),
        }
        host = urlsplit(webhook.url).hostname
        try:
            status = self.post(webhook.url, body, headers)
        except Unprocessable as refused:  # the address will not become a public one
            # Its message may quote the address, and the path of an address may be a secret.
            log_event(
                "webhook-refused", level="warning", function="notify", job_id=job.job, code=refused.code, url_host=host
            )
            return
        taken = 200 <= status < 300 or status == GONE  # noqa: PLR2004 - the statuses with which HTTP says success
        log_event("webhook", function="notify", job_id=job.job, status=status, url_host=host, receives=receives)
        if not taken:
            raise Unavailable(f"a webhook answered {status}, expected 200 to 299")


def read_end(event: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return tenant, job and generation of the event that a job has ended. Raises DecodeError for all other events."""
    detail = event.get("detail")
    if event.get("source") != EVENT_SOURCE or event.get("detail-type") != JOB_ENDED or not isinstance(detail, dict):
        raise DecodeError("got a message that is no event of the end of a job")
    tenant, job, generation = str(detail.get("tenant", "")), str(detail.get("job", "")), detail.get("generation")
    if not keys.TENANT.fullmatch(tenant) or not keys.JOB.fullmatch(job) or type(generation) is not int:
        raise DecodeError("got an event with malformed names")
    return tenant, job, generation
