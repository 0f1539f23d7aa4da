"""The finalizer: one delivery wins, the manifest comes before the end, and every attempt writes the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import keys, state_machine
from functions.jobs.steps.manifest import build_manifest
from tests.unit.functions.jobs.state.test_state_machine import JOB, NOW, SHARD
from tests.unit.functions.jobs.wiring import make_finalizer
from tests.unit.functions.jobs.world import TENANT, World

DATA = b'{"text": "a"}\n'


@pytest.fixture
def world() -> World:
    """Return a world whose only job is ready to close."""
    made = World()
    made.recipe()
    made.drop("in.jsonl", DATA)
    made.deliver("plan")
    made.deliver("work")
    return made


def job_of(world: World) -> str:
    """Return the id of the only job."""
    return str(world.ask("GET", "/v1/jobs")[1]["jobs"][0]["job"])


class Spy:
    """Passes calls on, and notes them with the job's state at the time."""

    def __init__(self, real: Any, name: str, world: World, seen: list[tuple[str, str]]) -> None:
        self._real, self._name, self._world, self._seen = real, name, world, seen

    def __getattr__(self, name: str) -> Any:
        """Pass all else on."""
        real = getattr(self._real, name)
        if name != self._name:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self._seen.append((name, self._world.job(job_of(self._world)).state))
            return real(*args, **kwargs)

        return call


def test_the_manifest_comes_before_the_end_and_after_the_close(world: World) -> None:
    """Five effects in this order: close, manifest, end, announcement, and the note that it was announced."""
    seen: list[tuple[str, str]] = []
    event_bus: Any = Spy(world.effects.event_bus, "put", world, seen)
    table: Any = Spy(world.effects.table, "write", world, seen)
    objects: Any = Spy(world.effects.objects, "put_new", world, seen)
    effects = replace(world.effects, table=table, objects=objects, event_bus=event_bus)
    make_finalizer(effects).run(TENANT, job_of(world))
    assert seen == [
        ("write", state_machine.RUNNING), ("put_new", state_machine.FINALIZING), ("write", state_machine.FINALIZING),
        ("put", state_machine.SUCCEEDED), ("write", state_machine.SUCCEEDED),
    ]  # fmt: skip
    assert world.job(job_of(world)).state == state_machine.SUCCEEDED


def test_a_finalizer_that_died_is_finished_with_the_same_bytes(world: World) -> None:
    """A second finalizer finds the manifest much later and ends the job. Nothing is written twice."""
    job = job_of(world)
    world.effects.table.write(state_machine.close(world.job(job), world.clock()))
    digest = world.finalizer._publish(world.job(job))
    before = world.output(keys.manifest_key(TENANT, job))
    world.clock.pass_s(5000)
    world.finalizer.run(TENANT, job)
    assert world.output(keys.manifest_key(TENANT, job)) == before
    assert (world.job(job).state, world.job(job).manifest_sha256) == (state_machine.SUCCEEDED, digest)


@pytest.mark.parametrize(
    "state", [state_machine.CREATED, state_machine.SUBMITTED, state_machine.PLANNING, state_machine.FAILED]
)
def test_a_job_in_another_state_is_left_alone(state: str) -> None:
    """A finalize message that comes too early or too late does nothing."""
    world = World()
    job = replace(JOB, tenant=TENANT, state=state, announced=1)
    world.effects.table.write(*state_machine.create(job))
    world.finalizer.run(TENANT, job.job)
    world.finalizer.run(TENANT, "1" * 32)
    assert world.job(job.job) == job
    assert world.objects.list(world.effects.output_bucket, "").objects == ()


def test_a_message_that_comes_before_the_last_shard_waits_for_no_one() -> None:
    """With open shards the job stays RUNNING. Who commits the last shard asks again."""
    world = World()
    world.recipe()
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    world.finalizer.run(TENANT, job)
    assert world.job(job).state == state_machine.RUNNING
    world.run()
    assert world.job(job).state == state_machine.SUCCEEDED


def test_a_manifest_that_differs_is_kept_and_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The object at the manifest's key stays. A log line at error level says that it differs."""
    job = job_of(world)
    world.objects.put(world.effects.output_bucket, keys.manifest_key(TENANT, job), b"{}", {"sha256": "other"})
    world.run()
    assert "manifest-differs" in capsys.readouterr().out
    assert world.job(job).manifest_sha256 == "other"


def test_a_manifest_is_a_function_of_its_items() -> None:
    """Only ended shards are parts. Parts name a model revision that differs from the job's. Times are ISO 8601."""
    job = replace(
        JOB,
        state=state_machine.FINALIZING,
        closing_ms=NOW,
        n_shards=3,
        records_ok=5,
        records_failed=1,
        n_records=6,
        model_revision="r1",
    )
    done = replace(SHARD, state="DONE", part_sha256="d", records_ok=2, records_failed=1, model_revision="r1")
    other = replace(done, shard="00000001-0123456789ab", state="FAILED", record=3, model_revision="r2")
    built = build_manifest(job, [], [done, other, SHARD])
    assert built == build_manifest(job, [], [done, other, SHARD])
    read = json.loads(built)
    assert [part["first_index"] for part in read["parts"]] == [0, 3]
    assert [part.get("model_revision") for part in read["parts"]] == [None, "r2"]
    assert (read["state"], read["finished_at"], read["started_at"]) == (
        "PARTIALLY_SUCCEEDED", "2027-01-15T08:00:00.000Z", None,
    )  # fmt: skip
