"""Reads jobs, plans, inputs, shards and recipes from the table.

Writes nothing. Must not know which changes of an item are allowed.
"""

from __future__ import annotations

from collections.abc import Iterator

from functions.jobs.state import keys
from functions.jobs.state.items import Input, Job, PlanProgress, Recipe, Shard, from_item
from functions.jobs.state.transactions import Item
from functions.jobs.storage.contracts import Table

PAGE_ITEMS = 200


def load_job(table: Table, tenant: str, job: str) -> Job | None:
    """Return a job, or None."""
    item = table.get(keys.job_item(tenant, job))
    return from_item(Job, item) if item else None


def load_plan(table: Table, job: Job) -> PlanProgress | None:
    """Return the plan progress of a job, or None."""
    item = table.get(keys.plan_item(job.tenant, job.job))
    return from_item(PlanProgress, item) if item else None


def load_input(table: Table, job: Job, ordinal: int) -> Input | None:
    """Return a pinned input, or None."""
    item = table.get(keys.input_item(job.tenant, job.job, ordinal))
    return from_item(Input, item) if item else None


def load_shard(table: Table, job: Job, shard: str) -> Shard | None:
    """Return a shard, or None."""
    item = table.get(keys.shard_item(job.tenant, job.job, shard))
    return from_item(Shard, item) if item else None


def load_recipe(table: Table, tenant: str, name: str) -> Recipe | None:
    """Return a recipe, or None."""
    item = table.get(keys.recipe_item(tenant, name))
    return from_item(Recipe, item) if item else None


def last_input(table: Table, job: Job) -> Input | None:
    """Return the input that was pinned last, or None."""
    page = table.query(keys.job_prefix(job.tenant, job.job), prefix="input/", limit=1, newest_first=True)
    return from_item(Input, page.items[0]) if page.items else None


def all_inputs(table: Table, job: Job) -> Iterator[Input]:
    """Yield a job's pinned inputs in order."""
    return (from_item(Input, item) for item in _all(table, keys.job_prefix(job.tenant, job.job), "input/"))


def all_shards(table: Table, job: Job) -> Iterator[Shard]:
    """Yield a job's shards in the order of their records."""
    return (from_item(Shard, item) for item in _all(table, keys.job_prefix(job.tenant, job.job), "shard/"))


def _all(table: Table, pk: str, prefix: str) -> Iterator[Item]:
    after: str | None = None
    while True:
        page = table.query(pk, prefix=prefix, after=after, limit=PAGE_ITEMS)
        yield from page.items
        if page.after is None:
            return
        after = page.after
