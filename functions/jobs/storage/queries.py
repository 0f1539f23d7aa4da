"""Reads jobs, plans, inputs, shards and recipes from a store.

Writes nothing: changes are the machine's writes, carried out by the store.
"""

from __future__ import annotations

from collections.abc import Iterator

from functions.jobs.state import keys
from functions.jobs.state.items import Input, Job, Plan, Recipe, Shard, from_item
from functions.jobs.state.transactions import Item
from functions.jobs.state.webhooks import Webhook
from functions.jobs.storage.dynamodb_table import Table

PAGE = 200


def load_job(store: Table, tenant: str, job: str) -> Job | None:
    """Return a job, or None."""
    item = store.get(keys.job_item(tenant, job))
    return from_item(Job, item) if item else None


def load_plan(store: Table, job: Job) -> Plan | None:
    """Return the checkpoint of a job's planner, or None."""
    item = store.get(keys.plan_item(job.tenant, job.job))
    return from_item(Plan, item) if item else None


def load_input(store: Table, job: Job, ordinal: int) -> Input | None:
    """Return a pinned input, or None."""
    item = store.get(keys.input_item(job.tenant, job.job, ordinal))
    return from_item(Input, item) if item else None


def load_shard(store: Table, job: Job, shard: str) -> Shard | None:
    """Return a shard, or None."""
    item = store.get(keys.shard_item(job.tenant, job.job, shard))
    return from_item(Shard, item) if item else None


def load_webhook(store: Table, tenant: str, job: str) -> Webhook | None:
    """Return a job's webhook, or None."""
    item = store.get(keys.webhook_item(tenant, job))
    return from_item(Webhook, item) if item else None


def load_recipe(store: Table, tenant: str, name: str) -> Recipe | None:
    """Return a recipe, or None."""
    item = store.get(keys.recipe_item(tenant, name))
    return from_item(Recipe, item) if item else None


def last_input(store: Table, job: Job) -> Input | None:
    """Return the input that was pinned last, or None."""
    page = store.query(keys.job_prefix(job.tenant, job.job), prefix="input/", limit=1, newest_first=True)
    return from_item(Input, page.items[0]) if page.items else None


def all_inputs(store: Table, job: Job) -> Iterator[Input]:
    """Yield a job's pinned inputs in order."""
    return (from_item(Input, item) for item in _all(store, keys.job_prefix(job.tenant, job.job), "input/"))


def all_shards(store: Table, job: Job) -> Iterator[Shard]:
    """Yield a job's shards in the order of their records."""
    return (from_item(Shard, item) for item in _all(store, keys.job_prefix(job.tenant, job.job), "shard/"))


def _all(store: Table, pk: str, prefix: str) -> Iterator[Item]:
    after: str | None = None
    while True:
        page = store.query(pk, prefix=prefix, after=after, limit=PAGE)
        yield from page.items
        if page.after is None:
            return
        after = page.after
