"""Redrive: failed shards are answered again, once. What succeeded stays, and repeating a redrive changes nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import keys, leases, state_machine
from shared.errors import Conflict, NotFound, Unprocessable
from tests.unit.functions.jobs.world import LONG_S, TENANT, World, assert_whole, catalog

TEXTS = [f"text {i}" for i in range(100)]
POISON = "text 42"


def poisoned(**options: Any) -> tuple[World, str]:
    """Run a job of 100 records in 15 shards. The model refuses one record."""
    world = World(max_records=7, **options)
    world.recipe()
    world.echo.poison, world.echo.poison_error = POISON, lambda: Unprocessable("got a text that breaks")
    job = world.drop("in.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode())
    world.run()
    return world, job


def expected(*, fixed: bool) -> list[str | None]:
    """Return what the rows hold, before or after the model is fixed."""
    return [text if fixed or text != POISON else None for text in TEXTS]


def test_poison_is_redriven_after_the_fix_exactly_once() -> None:
    """One record in a hundred is bad, and only its row is an error. A redrive answers only its shard again."""
    world, job = poisoned()
    assert_whole(world, job, expected(fixed=False))
    before, parts = world.manifest(job), {shard.shard: shard for shard in world.shards(job)}
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED
    n_calls, world.echo.poison_error = len(world.echo.calls), None
    found, began = world.jobs.redrive(TENANT, job)
    assert (found.state, found.generation, began) == (state_machine.REDRIVING, 1, True)
    world.run(copies=2)
    assert world.job(job).state == state_machine.SUCCEEDED
    assert_whole(world, job, expected(fixed=True))
    assert world.echo.calls[n_calls:] == [7]
    changed = [shard for shard in world.shards(job) if shard != parts[shard.shard]]
    assert [(shard.record, shard.generation, shard.strikes) for shard in changed] == [(42, 1, 0)]
    ended, stored = world.job(job), world.manifest(job)
    for _ in range(2):
        assert world.jobs.redrive(TENANT, job) == (ended, False)
        world.run()
    assert (world.job(job), world.manifest(job)) == (ended, stored)
    assert [part["key"] for part in stored["parts"] if "generation" in part] == [
        keys.part_key(TENANT, job, changed[0].shard, 1)
    ]
    assert before["parts"][:6] == stored["parts"][:6]


def test_one_record_in_a_hundred_is_bad_and_only_those_fail() -> None:
    """Only broken lines and refused texts have error rows. After the fix, a redrive answers the refused texts."""
    world = World(max_records=64)
    world.recipe()
    lines = [json.dumps({"text": f"text {i}"}).encode() for i in range(1000)]
    broken = {7: b"{", 250: b'{"text": "\xff"}', 511: b"", 512: b'{"text": " "}', 999: b'{"id": 3}'}
    refused = {100, 101, 640, 700, 998}
    for i, line in broken.items():
        lines[i] = line
    world.echo.poisons = {f"text {i}" for i in refused}
    world.echo.poison_error = lambda: Unprocessable("got a text that breaks")
    job = world.drop("in.jsonl", b"\n".join(lines) + b"\n")
    world.run(copies=2)
    assert_whole(world, job, [None if i in {*broken, *refused} else f"text {i}" for i in range(1000)])
    assert (world.job(job).state, world.job(job).records_failed) == (state_machine.PARTIALLY_SUCCEEDED, 10)
    world.echo.poison_error = None
    n_calls = len(world.echo.calls)
    assert world.jobs.redrive(TENANT, job)[1]
    assert not world.jobs.redrive(TENANT, job)[1]
    world.run(copies=2)
    assert_whole(world, job, [None if i in broken else f"text {i}" for i in range(1000)])
    touched = {i // 64 for i in (*broken, *refused)}
    assert len(world.echo.calls) - n_calls == len(touched)
    assert {shard.record // 64 for shard in world.shards(job) if shard.generation} == touched


def test_each_redrive_has_one_manifest_that_names_the_one_before() -> None:
    """A redrive that improves nothing ends as before, with a manifest of its own. The old manifest stays."""
    world, job = poisoned()
    first = world.output(keys.manifest_key(TENANT, job))
    for generation in (1, 2):
        assert world.jobs.redrive(TENANT, job)[1]
        world.run()
        assert_whole(world, job, expected(fixed=False))
        assert world.manifest(job)["generation"] == generation
    prefix = keys.job_prefix(TENANT, job) + "/manifest"
    listed = [each.key for each in world.objects.list("output", prefix).objects]
    assert listed == [keys.manifest_key(TENANT, job, generation) for generation in (0, 1, 2)]
    assert world.output(listed[0]) == first
    second = json.loads(world.output(listed[1]))
    assert second["replaces"] == {"key": listed[0], "sha256": hashlib.sha256(first).hexdigest()}
    assert world.job(job).manifest_sha256 == hashlib.sha256(world.output(listed[2])).hexdigest()


def test_an_order_for_a_generation_that_is_past_changes_nothing() -> None:
    """A redrive that names its generation may be repeated forever. A future generation is refused."""
    world, job = poisoned()
    assert world.jobs.redrive(TENANT, job, generation=0)[1]
    world.run()
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED
    assert world.jobs.redrive(TENANT, job, generation=0) == (world.job(job), False)
    with pytest.raises(Conflict, match="got generation 2"):
        world.jobs.redrive(TENANT, job, generation=2)


def test_a_redrive_is_answered_by_the_catalog_of_its_day() -> None:
    """The new manifest names the model of today, and for the other parts the revision that answered them."""
    world, job = poisoned()
    world.echo.poison_error = None
    newer = catalog()
    models = {"mini": newer.model("mini").model_copy(update={"revision": "r8"})}
    world.planner = replace(world.planner, catalog=newer.model_copy(update={"models": models}), catalog_sha256="d" * 64)
    world.jobs.redrive(TENANT, job)
    world.run()
    manifest = world.manifest(job)
    assert (manifest["model_revision"], manifest["catalog_sha256"]) == ("r8", "d" * 64)
    assert [part.get("model_revision") for part in manifest["parts"]] == ["r7"] * 6 + [None] + ["r7"] * 8


def test_a_redrive_keeps_its_catalog_when_todays_cannot_answer_it() -> None:
    """A job whose model has left the catalog keeps the model that it had."""
    world, job = poisoned()
    world.echo.poison_error = None
    world.planner = replace(world.planner, catalog=catalog().model_copy(update={"models": {}}), catalog_sha256="d" * 64)
    world.jobs.redrive(TENANT, job)
    world.run()
    assert_whole(world, job, expected(fixed=True))
    assert (world.manifest(job)["model_revision"], world.manifest(job)["catalog_sha256"]) == ("r7", "c" * 64)


def test_redriving_stops_in_time_and_goes_on() -> None:
    """A planner without time sends a message that goes on. Opened shards are answered at once, none is opened twice."""
    world = World(max_records=1)
    world.recipe()
    world.echo.fail = [Unprocessable("no")] * 60
    job = world.drop("in.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in TEXTS[:60]).encode())
    world.run()
    assert world.job(job).state == state_machine.FAILED
    world.jobs.redrive(TENANT, job)
    left = iter([LONG_S, 5.0])
    event = world.queue.receive("plan")
    assert event is not None
    world.queue.acknowledge("plan", event, world.planner.handle_event(event, lambda: next(left)))
    assert (world.job(job).state, world.job(job).shards_open) == (state_machine.REDRIVING, 25)
    for _ in range(25):
        world.deliver("work")
    assert (world.job(job).shards_open, world.job(job).records_ok) == (0, 25)
    world.run(copies=2)
    assert world.job(job).state == state_machine.SUCCEEDED
    assert_whole(world, job, list(TEXTS[:60]))
    assert {shard.attempt for shard in world.shards(job)} == {2}


def test_a_redrive_can_be_cancelled() -> None:
    """Its manifest then holds what had ended. The manifest before still names everything."""
    world, job = poisoned()
    world.jobs.redrive(TENANT, job)
    world.deliver("plan")
    assert world.ask("POST", f"/v1/jobs/{job}/cancel")[0] == 202
    world.run()
    assert (world.job(job).state, len(world.manifest(job)["parts"])) == (state_machine.CANCELLED, 14)
    with pytest.raises(Conflict):
        world.jobs.redrive(TENANT, job)
    for _ in range(2):
        world.sweep(after_s=1000)
    assert all(world.effects.table.due(p, "9", 10) == [] for p in keys.due_partitions())


def test_a_finalizer_of_the_generation_before_cannot_end_the_next() -> None:
    """A finalizer that stopped before the end finds the same state again, and is refused by the generation."""
    world, job = poisoned()
    late = state_machine.end(replace(world.job(job), state=state_machine.FINALIZING), "0" * 64, world.clock())
    world.jobs.redrive(TENANT, job)
    world.deliver("plan")
    world.deliver("work")
    world.effects.table.write(state_machine.close(world.job(job), world.clock()))
    with pytest.raises(state_machine.Conflict):
        world.effects.table.write(late)
    world.run()
    assert_whole(world, job, expected(fixed=False))


def test_a_worker_of_the_generation_before_holds_nothing() -> None:
    """Its lease, its release and its commit fail after the redrive."""
    world, job = poisoned()
    old = next(shard for shard in world.shards(job) if shard.records_failed)
    held = replace(old, state=state_machine.LEASED)
    world.jobs.redrive(TENANT, job)
    world.deliver("plan")
    now = world.job(job)
    part = leases.Part("0" * 64, 1, 7, 0)
    for late in (
        leases.release(now, held, strike=True, reason="x"),
        *leases.commit_writes(now, held, part, 1)[:1],
    ):
        with pytest.raises(Conflict):
            world.effects.table.write(late)
    world.echo.poison_error = None
    world.run()
    assert_whole(world, job, expected(fixed=True))


def test_what_cannot_be_redriven_says_why() -> None:
    """Jobs that go on, were cancelled, could not be read, are about to expire, or do not exist."""
    world = World(max_records=7)
    world.recipe()
    waiting = world.drop("a.jsonl", b'{"text": "a"}\n')
    world.deliver("plan")
    unread, unknown = world.drop("b.pdf", b"%PDF"), world.drop("c.jsonl", b"x", recipe="nosuch")
    with pytest.raises(Conflict, match="RUNNING"):
        world.jobs.redrive(TENANT, waiting)
    world.run()
    for job, why in ((unread, "1 of its 1 objects"), (unknown, "does not exist")):
        with pytest.raises(Conflict, match=why):
            world.jobs.redrive(TENANT, job)
    for nowhere in ("0" * 32, "../x"):
        with pytest.raises(NotFound):
            world.jobs.redrive(TENANT, nowhere)
    with pytest.raises(NotFound):
        world.jobs.redrive("other", waiting)
    old, job = poisoned()
    old.clock.pass_s(state_machine.RETENTION_S - state_machine.MIN_REDRIVE_S + 1)
    with pytest.raises(Conflict, match="expires"):
        old.jobs.redrive(TENANT, job)


def test_a_job_of_failed_records_alone_succeeds_after_a_redrive() -> None:
    """A redrive leaves FAILED too, and the job's error goes."""
    world = World(max_records=7)
    world.recipe()
    world.echo.fail = [Unprocessable("no")] * 3
    job = world.drop("in.jsonl", b'{"text": "a"}\n{"text": "b"}\n')
    world.run()
    assert (world.job(job).state, world.job(job).code) == (state_machine.FAILED, "no-record-succeeded")
    world.jobs.redrive(TENANT, job)
    world.run()
    assert (world.job(job).state, world.job(job).code) == (state_machine.SUCCEEDED, "")
    assert_whole(world, job, ["a", "b"])


def test_a_redrive_whose_message_is_lost_is_sent_again() -> None:
    """A repeated call sends the message again, and so does the sweeper."""
    world, job = poisoned()
    world.jobs.redrive(TENANT, job)
    lost = world.queue.receive("plan")
    assert lost is not None
    world.queue.acknowledge("plan", lost, {"batchItemFailures": []})
    assert world.jobs.redrive(TENANT, job)[1] is False
    assert world.queue.waiting("plan") == 1
    again = world.queue.receive("plan")
    assert again is not None
    world.queue.acknowledge("plan", again, {"batchItemFailures": []})
    assert world.sweep(after_s=1000) == {"redrive-resent": 1}
    world.echo.poison_error = None
    world.run()
    assert_whole(world, job, expected(fixed=True))
