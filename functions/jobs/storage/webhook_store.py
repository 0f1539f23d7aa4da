"""Keeps, finds and removes webhooks. They lie sealed in a table of their own, one item for each.

Of all functions, jobs writes and removes them, finalize removes them, and notify alone reads and opens them. Must not
know who is called, or when.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from functions.jobs.state import keys
from functions.jobs.state.items import Job, from_item, to_item
from functions.jobs.state.transactions import ConditionFailed, Delete, Put
from functions.jobs.state.webhooks import SealedWebhook, Webhook, seal_context
from functions.jobs.storage.contracts import Sealer, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStore:
    """The webhooks in `table`, sealed with the key of `sealer`."""

    table: Table
    sealer: Sealer

    def keep(self, job: Job, webhook: Webhook) -> None:
        """Store the webhook of a request for a job. The same request may be stored again."""
        sealed = self.sealer.seal(webhook.to_text(), seal_context(job.tenant, job.job))
        item = to_item(SealedWebhook(sealed=sealed, expires_at=job.expires_at))
        with suppress(ConditionFailed):  # an earlier try of the same request has stored it
            self.table.write(Put(keys.webhook_item(job.tenant, job.job, job.request_sha256), item))

    def find(self, job: Job) -> Webhook | None:
        """Return the webhook of a job, or None. Raises DecodeError when it was not sealed for this job."""
        item = self.table.get(keys.webhook_item(job.tenant, job.job, job.request_sha256))
        if item is None:
            return None
        sealed = from_item(SealedWebhook, item).sealed
        return Webhook.from_text(self.sealer.unseal(sealed, seal_context(job.tenant, job.job)))

    def remove(self, job: Job) -> None:
        """Remove the webhook of a request for a job, if there is one."""
        with suppress(ConditionFailed):
            self.table.write(Delete(keys.webhook_item(job.tenant, job.job, job.request_sha256)))
