"""All effects of a batch job as one value, and what builds each step and each part of the API from it.

The product gives each step only what it uses, in `functions/lambdas`. Tests, the simulator and benchmarks often replace
one effect for all steps at once, so they start from `Effects`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from functions.jobs.api.jobs import Jobs
from functions.jobs.api.recipes import Recipes
from functions.jobs.steps.announce import Announcer
from functions.jobs.steps.commit import ShardCommit
from functions.jobs.steps.delete import Eraser
from functions.jobs.steps.finalize import Finalizer
from functions.jobs.steps.notify import Notifier, Post
from functions.jobs.steps.plan.accept_object import ObjectAcceptor
from functions.jobs.steps.plan.pin_inputs import MAX_INPUTS, InputPinner
from functions.jobs.steps.plan.planner import MAX_OBJECT_RECORDS, MAX_SHARDS, STEP_SHARDS, Planner
from functions.jobs.steps.plan.read_runs import RunReader
from functions.jobs.steps.redrive import STEP_SHARDS as REDRIVE_STEP_SHARDS
from functions.jobs.steps.redrive import Redriver
from functions.jobs.steps.sweep import MAX_ITEMS, Sweeper
from functions.jobs.steps.work.answer_records import Respond
from functions.jobs.steps.work.read_records import RecordReader
from functions.jobs.steps.work.worker import Worker
from functions.jobs.storage.contracts import EventBus, JobQueue, ObjectStore, Table
from functions.jobs.storage.in_memory.event_bus import InMemoryEventBus
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.in_memory.sealer import InMemorySealer
from functions.jobs.storage.in_memory.table import InMemoryTable
from functions.jobs.storage.webhook_store import WebhookStore
from shared.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything that a batch job does to the world, and its clock in epoch milliseconds."""

    table: Table
    objects: ObjectStore
    queue: JobQueue
    event_bus: EventBus
    webhooks: WebhookStore
    input_bucket: str
    output_bucket: str
    now_ms: Callable[[], int]


def in_memory(now_ms: Callable[[], int], *, versioned: bool = True) -> Effects:
    """Make all stores in memory, on the clock that is given."""
    return Effects(
        table=InMemoryTable(),
        objects=InMemoryObjects(versioned=versioned),
        queue=InMemoryQueue(now_ms),
        event_bus=InMemoryEventBus(),
        webhooks=WebhookStore(table=InMemoryTable(), sealer=InMemorySealer()),
        input_bucket="input",
        output_bucket="output",
        now_ms=now_ms,
    )


def make_planner(
    effects: Effects,
    catalog: Catalog,
    catalog_sha256: str,
    *,
    max_records: int = 256,
    step_shards: int = STEP_SHARDS,
    max_shards: int = MAX_SHARDS,
    max_inputs: int = MAX_INPUTS,
    max_object_records: int = MAX_OBJECT_RECORDS,
) -> Planner:
    """Build the planner."""
    table, objects, bucket, now_ms = effects.table, effects.objects, effects.input_bucket, effects.now_ms
    return Planner(
        table=table,
        queue=effects.queue,
        input_bucket=bucket,
        now_ms=now_ms,
        acceptor=ObjectAcceptor(table=table, objects=objects, input_bucket=bucket, now_ms=now_ms),
        pinner=InputPinner(table=table, objects=objects, input_bucket=bucket, now_ms=now_ms, max_inputs=max_inputs),
        reader=RunReader(objects=objects, input_bucket=bucket, output_bucket=effects.output_bucket),
        redriver=make_redriver(effects),
        catalog=catalog,
        catalog_sha256=catalog_sha256,
        max_records=max_records,
        step_shards=step_shards,
        max_shards=max_shards,
        max_object_records=max_object_records,
    )


def make_redriver(effects: Effects, *, step_shards: int = REDRIVE_STEP_SHARDS) -> Redriver:
    """Build what opens the shards of a redriven job."""
    return Redriver(table=effects.table, queue=effects.queue, now_ms=effects.now_ms, step_shards=step_shards)


def make_shard_commit(effects: Effects, function: str = "work") -> ShardCommit:
    """Build what commits shards."""
    return ShardCommit(
        table=effects.table, objects=effects.objects, queue=effects.queue, output_bucket=effects.output_bucket,
        now_ms=effects.now_ms, function=function,
    )  # fmt: skip


def make_worker(
    effects: Effects,
    respond: Respond,
    clock_s: Callable[[], float],
    *,
    pause: Callable[[float], object] = time.sleep,
    blocked_s: Callable[[str], float] = lambda _: 0.0,
) -> Worker:
    """Build the worker."""
    return Worker(
        table=effects.table,
        queue=effects.queue,
        reader=RecordReader(
            objects=effects.objects, input_bucket=effects.input_bucket, output_bucket=effects.output_bucket
        ),
        shard_commit=make_shard_commit(effects),
        now_ms=effects.now_ms,
        respond=lambda request, _: respond(request),
        clock_s=clock_s,
        pause=pause,
        blocked_s=blocked_s,
    )


def make_finalizer(effects: Effects) -> Finalizer:
    """Build the finalizer."""
    return Finalizer(
        table=effects.table,
        objects=effects.objects,
        queue=effects.queue,
        output_bucket=effects.output_bucket,
        now_ms=effects.now_ms,
        announcer=make_announcer(effects),
        eraser=Eraser(
            table=effects.table, objects=effects.objects, webhooks=effects.webhooks,
            input_bucket=effects.input_bucket, output_bucket=effects.output_bucket, now_ms=effects.now_ms,
        ),
    )  # fmt: skip


def make_announcer(effects: Effects) -> Announcer:
    """Build what announces the end of jobs."""
    return Announcer(table=effects.table, event_bus=effects.event_bus, output_bucket=effects.output_bucket)


def make_sweeper(effects: Effects, *, max_items: int = MAX_ITEMS) -> Sweeper:
    """Build the sweeper."""
    return Sweeper(
        table=effects.table, queue=effects.queue, shard_commit=make_shard_commit(effects, "sweep"),
        now_ms=effects.now_ms, max_items=max_items,
    )  # fmt: skip


def make_jobs(effects: Effects) -> Jobs:
    """Build the part of the API that creates, starts, cancels, redrives and deletes jobs."""
    return Jobs(
        table=effects.table, objects=effects.objects, queue=effects.queue, webhooks=effects.webhooks,
        input_bucket=effects.input_bucket, now_ms=effects.now_ms,
    )  # fmt: skip


def make_notifier(effects: Effects, post: Post) -> Notifier:
    """Build what calls webhooks; `post` sends the calls."""
    return Notifier(
        table=effects.table, webhooks=effects.webhooks, queue=effects.queue, output_bucket=effects.output_bucket,
        post=post, now_ms=effects.now_ms,
    )  # fmt: skip


def make_recipes(effects: Effects) -> Recipes:
    """Build the part of the API for recipes."""
    return Recipes(table=effects.table, input_bucket=effects.input_bucket, now_ms=effects.now_ms)
