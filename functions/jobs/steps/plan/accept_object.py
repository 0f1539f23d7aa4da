"""Makes a job of an object in an inbox, once for each content of the object.

The job's id is a hash of the object, so that a repeated event finds the job that it made before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import Problem
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, JobSpec, Recipe, to_item
from functions.jobs.state.s3_events import ObjectCreated
from functions.jobs.state.state_machine import RETENTION_S
from functions.jobs.state.transactions import ConditionFailed, Put, Write
from functions.jobs.storage.contracts import ObjectStore, Table
from functions.jobs.storage.queries import load_job, load_recipe
from functions.tasks.parse import parse_parameters
from shared.errors import GlossaError
from shared.log import log_event


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAcceptor:
    """Makes jobs of the objects in the inboxes of `input_bucket`. `now_ms` returns epoch milliseconds."""

    table: Table
    objects: ObjectStore
    input_bucket: str
    now_ms: Callable[[], int]

    def accept(self, created: ObjectCreated) -> Job | None:
        """Return the job of an inbox object, made now or before. Returns None for an object that is no job."""
        inbox = keys.parse_object_key(created.key)
        if created.bucket != self.input_bucket or not isinstance(inbox, keys.Inbox):
            return None
        created = self._with_version(created)
        job_id = keys.job_id_of_object(created.bucket, created.key, created.identity, inbox.recipe)
        if (known := load_job(self.table, inbox.tenant, job_id)) is not None:
            return known
        recipe = load_recipe(self.table, inbox.tenant, inbox.recipe) or default_recipe(inbox.recipe)
        try:
            self.table.write(*_writes(created, inbox, job_id, recipe, self.now_ms()))
        except ConditionFailed:
            log_event("job-known", function="plan", job_id=job_id)
        return load_job(self.table, inbox.tenant, job_id)

    def _with_version(self, created: ObjectCreated) -> ObjectCreated:
        """Find the version of an event that names only an etag, if that content is still the newest."""
        if created.version:
            return created
        stored = self.objects.head(created.bucket, created.key)
        if stored is None or (created.etag and stored.etag != created.etag):
            return created
        return ObjectCreated(
            created.bucket, created.key, stored.size_bytes, stored.version or None, stored.etag, created.sequencer
        )


def default_recipe(name: str) -> Recipe | None:
    """Return the recipe that every tenant has: named like a task, it runs that task with its default parameters."""
    try:
        parameters = parse_parameters(name, None).model_dump()
    except GlossaError:  # no task has this name, or the task requires a parameter
        return None
    return Recipe(name=name, spec=JobSpec(name, None, parameters).to_json(), created_ms=0)


def _writes(
    created: ObjectCreated, inbox: keys.Inbox, job_id: str, recipe: Recipe | None, now_ms: int
) -> tuple[Write, ...]:
    problem = _no_recipe(inbox) if recipe is None else None
    job = Job(
        tenant=inbox.tenant,
        job=job_id,
        state=state_machine.FAILED if problem else state_machine.SUBMITTED,
        source="inbox",
        spec=recipe.spec if recipe else "",
        recipe=inbox.recipe,
        names=(inbox.name,),
        created_ms=now_ms,
        finished_ms=now_ms if problem else 0,
        expires_at=now_ms // 1000 + RETENTION_S,
        code=problem.code if problem else "",
        detail=problem.detail if problem else "",
    )
    pinned = Input(
        ordinal=0, key=created.key, version=created.version or "", etag=created.etag or "",
        size_bytes=created.size_bytes, expires_at=job.expires_at,
    )  # fmt: skip
    return (*state_machine.create(job), Put(keys.input_item(job.tenant, job.job, 0), to_item(pinned)))


def _no_recipe(inbox: keys.Inbox) -> Problem:
    detail = (
        f"got an object in the inbox of recipe {inbox.recipe!r}, which does not exist; make it with POST /v1/recipes"
    )
    return Problem(problem_codes.NO_RECIPE, detail)
