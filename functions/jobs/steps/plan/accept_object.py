"""An object in an inbox -> a job of its own, once per content of the object.

The job's id is a hash of the object, so that a repeated event finds the job it made.
"""

from __future__ import annotations

from functions.jobs.records.formats import Problem
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, JobSpec, Recipe, to_item
from functions.jobs.state.s3_events import ObjectCreated
from functions.jobs.state.state_machine import RETENTION_S
from functions.jobs.state.transactions import ConditionFailed, Put, Write
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import load_job, load_recipe
from functions.tasks.registry import parse_parameters
from shared.errors import GlossaError
from shared.log import log_event


def accept(created: ObjectCreated, doors: Doors) -> Job | None:
    """Return the job that an object in an inbox is, made now or before; None for objects that are no jobs."""
    place = keys.parse_object_key(created.key)
    if created.bucket != doors.input_bucket or not isinstance(place, keys.Inbox):
        return None
    created = _with_version(created, doors)
    job_id = keys.job_id_of_object(created.bucket, created.key, created.identity, place.recipe)
    if (known := load_job(doors.store, place.tenant, job_id)) is not None:
        return known
    recipe = load_recipe(doors.store, place.tenant, place.recipe) or default_recipe(place.recipe)
    try:
        doors.store.write(*_writes(created, place, job_id, recipe, doors.now_ms()))
    except ConditionFailed:
        log_event("job-known", function="plan", job_id=job_id)
    return load_job(doors.store, place.tenant, job_id)


def default_recipe(name: str) -> Recipe | None:
    """Return the recipe that everyone has: one named like a task, doing what the task does by default."""
    try:
        parameters = parse_parameters(name, None).model_dump()
    except GlossaError:  # no task, or one that must be told something
        return None
    return Recipe(name=name, spec=JobSpec(name, None, parameters).to_json(), created_ms=0)


def _with_version(created: ObjectCreated, doors: Doors) -> ObjectCreated:
    """Find the version of an event that names only an etag, when that content is still the newest."""
    if created.version:
        return created
    stored = doors.objects.head(created.bucket, created.key)
    if stored is None or (created.etag and stored.etag != created.etag):
        return created
    return ObjectCreated(
        created.bucket, created.key, stored.size_bytes, stored.version or None, stored.etag, created.sequencer
    )


def _writes(
    created: ObjectCreated, place: keys.Inbox, job_id: str, recipe: Recipe | None, now_ms: int
) -> tuple[Write, ...]:
    problem = _no_recipe(place) if recipe is None else None
    job = Job(
        tenant=place.tenant,
        job=job_id,
        state=state_machine.FAILED if problem else state_machine.SUBMITTED,
        source="inbox",
        spec=recipe.spec if recipe else "",
        recipe=place.recipe,
        names=(place.name,),
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


def _no_recipe(place: keys.Inbox) -> Problem:
    detail = (
        f"got an object in the inbox of recipe {place.recipe!r}, which does not exist; make it with POST /v1/recipes"
    )
    return Problem("no-recipe", detail)
