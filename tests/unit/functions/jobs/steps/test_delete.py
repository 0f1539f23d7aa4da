"""Delete: everything of a job goes, except one item that keeps a repeated event from making the job again."""

from __future__ import annotations

import gzip
from contextlib import suppress

import pytest

from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job
from functions.jobs.steps.delete import FUNCTION_LIFE_MS
from functions.jobs.storage.queries import all_shards
from shared.errors import Conflict, NotFound
from tests.unit.functions.jobs.world import JSONL, TENANT, World


def ended(name: str = "in.jsonl.gz") -> tuple[World, str]:
    """Run a job whose shards are staged."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop(name, gzip.compress(JSONL) if name.endswith(".gz") else JSONL)
    world.run()
    return world, job


def left(world: World, job: Job) -> list[str]:
    """Return what is left of a job: table keys and object keys."""
    partition = keys.job_prefix(TENANT, job.job)
    found = [str(item["sk"]) for item in world.effects.table.query(partition).items]
    found += [str(item["job"]) for item in world.effects.table.query(keys.jobs_partition(TENANT)).items]
    for bucket in ("output", "input"):
        found += [each.key for each in world.objects.list(bucket, partition).objects]
    return found


def test_a_deleted_job_leaves_its_own_item() -> None:
    """Parts, staged bytes, manifest, shards, plan, inputs and the entry in the list go. The inbox object stays."""
    world, job = ended()
    before = world.job(job)
    assert len(left(world, before)) > 20
    assert world.jobs.delete(TENANT, job).state == state_machine.DELETING
    world.run()
    assert left(world, before) == ["job"]
    stone = world.job(job)
    assert (stone.state, stone.spec, stone.names, stone.recipe) == (state_machine.DELETED, "", (), "")
    assert stone.finished_ms == before.finished_ms
    assert world.objects.head("input", keys.inbox_key(TENANT, "topics", "in.jsonl.gz")) is not None
    assert world.jobs.delete(TENANT, job) == stone
    assert all(world.effects.table.due(p, "9", 10) == [] for p in keys.due_partitions())


def test_uploads_go_with_their_job() -> None:
    """Uploads of a job that was never started go too."""
    world = World()
    made = world.ask("POST", "/v1/jobs", {"task": "text-classification", "files": ["a.txt"]})[1]
    world.objects.put("input", made["uploads"][0]["fields"]["key"], b"one")
    world.objects.put("input", made["uploads"][0]["fields"]["key"], b"two")
    job = world.job(made["job"])
    world.jobs.delete(TENANT, job.job)
    world.run()
    assert left(world, job) == ["job"]


def test_a_repeated_event_does_not_make_a_deleted_job_anew() -> None:
    """The item that is left keeps its id taken."""
    world, job = ended("in.jsonl")
    stored = world.objects.head("input", keys.inbox_key(TENANT, "topics", "in.jsonl"))
    assert stored is not None
    world.jobs.delete(TENANT, job)
    world.run()
    world.announce(stored.key, stored.size_bytes, stored.etag, stored.version)
    world.run()
    assert left(world, world.job(job)) == ["job"]


def test_what_a_late_worker_writes_goes_too() -> None:
    """The job is erased again when no function is left that read it before it was deleted."""
    world, job = ended()
    before = world.job(job)
    world.jobs.delete(TENANT, job)
    world.deliver("finalize")
    assert left(world, before) == ["job"]
    assert world.job(job).state == state_machine.DELETING
    world.objects.put("output", keys.part_key(TENANT, job, "late"), b"{}")
    world.run(copies=2)
    assert left(world, before) == ["job"]
    assert world.job(job).state == state_machine.DELETED
    assert world.clock() >= before.finished_ms + FUNCTION_LIFE_MS


def test_a_job_that_goes_on_is_not_deleted() -> None:
    """It must be cancelled first. An unknown job is not found."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", JSONL)
    world.deliver("plan")
    with pytest.raises(Conflict, match="RUNNING"):
        world.jobs.delete(TENANT, job)
    world.ask("POST", f"/v1/jobs/{job}/cancel")
    world.run()
    world.jobs.delete(TENANT, job)
    world.run()
    assert world.job(job).state == state_machine.DELETED
    for nowhere in ("0" * 32, "x"):
        with pytest.raises(NotFound):
            world.jobs.delete(TENANT, nowhere)


def test_a_lost_message_is_sent_again_and_twins_do_no_harm() -> None:
    """The sweeper finds a job that is being deleted. Two erasers at once end the same way."""
    world, job = ended()
    world.jobs.delete(TENANT, job)
    lost = world.queue.receive("finalize")
    assert lost is not None
    world.queue.acknowledge("finalize", lost, {"batchItemFailures": []})
    assert world.sweep(after_s=1000) == {"finalize-resent": 1}
    world.run(copies=3)
    assert world.job(job).state == state_machine.DELETED
    with suppress(StopIteration):
        raise AssertionError(next(iter(all_shards(world.effects.table, world.job(job)))))
