"""The sweeper: restarts what stands still, ends shards that used up their strikes, and touches nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer, encode_rows
from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.s3_events import parse_event
from functions.jobs.state.transactions import Update
from functions.jobs.steps.commit import row_source
from tests.unit.functions.jobs.world import TENANT, World, texts

DATA = b'{"text": "a"}\n{"text": "b"}\n'
STALL_S = state_machine.STALL_MS / 1000


@pytest.fixture
def world() -> World:
    """Return a world with a recipe."""
    made = World()
    made.recipe()
    return made


def lose(world: World, step: str) -> None:
    """Lose every message of a queue."""
    world.queue._messages[step].clear()  # type: ignore[index] # a step


def test_nothing_is_done_when_nothing_is_due(world: World) -> None:
    """A running job that makes progress is left alone."""
    world.drop("in.jsonl", DATA)
    assert world.sweep() == {}
    world.deliver("plan")
    assert world.sweep(after_s=STALL_S - 1) == {}


def test_shards_that_wait_are_not_sent_again_while_their_job_goes_on(world: World) -> None:
    """Waiting shards are sent again only when no shard of the job has ended for 15 minutes."""
    world = World(max_records=1)
    world.recipe()
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    world.clock.pass_s(STALL_S - 60)
    world.deliver("work")
    assert world.sweep(after_s=61) == {"running": 1}
    assert world.queue.waiting("work") == 1
    assert world.sweep(after_s=STALL_S + 1) == {"shards-resent": 1}
    assert world.queue.waiting("work") == 2
    world.run()
    assert texts(world.rows(job)) == ["a", "b"]


def test_stuck_leases_are_found_however_many_shards_wait() -> None:
    """Waiting shards are not due, so that the next sweep finds a lease that has ended."""
    world = World(max_records=1, max_items=16)
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a"}\n' * 300)
    world.deliver("plan")
    die(world, job)
    due = [key for p in keys.due_partitions() for key in world.effects.table.due(p, "9", 1000)]
    assert sorted(key.sk.partition("/")[0] for key in due) == ["job", "shard"]
    assert world.sweep(after_s=leases.LEASE_MS / 1000 + 1) == {"shard-resent": 1}


def test_an_end_that_nobody_was_told_of_is_announced(world: World) -> None:
    """The finalizer died after the end and its message was lost. The sweeper asks again, then nothing is due."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    world.deliver("work")
    world.effects.table.write(state_machine.close(world.job(job), world.clock()))
    world.effects.table.write(state_machine.end(world.job(job), "d" * 64, world.clock()))
    lose(world, "finalize")
    assert world.event_bus.events == []
    assert world.sweep(after_s=STALL_S + 1) == {"finalize-resent": 1}
    world.run()
    assert [event["detail"]["job"] for event in world.event_bus.events] == [job]
    assert world.sweep(after_s=10 * STALL_S) == {}


def test_an_ended_job_that_is_due_no_more_leaves_the_index(world: World) -> None:
    """The next sweep removes what an overtaken sweep put back."""
    job = world.drop("in.jsonl", DATA)
    world.run()
    world.effects.table.write(state_machine.postpone_job(world.job(job), world.clock()))
    assert world.sweep(after_s=1) == {"job-rests": 1}
    assert world.sweep(after_s=10 * STALL_S) == {}


@pytest.mark.parametrize("step", ["plan", "work", "finalize"])
def test_a_lost_message_is_sent_again(world: World, step: str) -> None:
    """Whichever message was lost, the job ends after some sweeps, with every record answered once."""
    job = world.drop("in.jsonl", DATA)
    if step == "plan":  # the inbox event itself must have made the job
        event = world.queue.receive("plan")
        assert event is not None
        world.planner.acceptor.accept(parse_event(json.loads(event["Records"][0]["body"]))[0])
    else:
        world.deliver("plan")
    if step == "finalize":
        world.deliver("work")
    lose(world, step)
    for _ in range(5):
        world.sweep(after_s=STALL_S + 1)
        world.run()
    assert world.job(job).state == state_machine.SUCCEEDED
    assert texts(world.rows(job)) == ["a", "b"]


def test_a_planner_at_work_is_not_doubled(world: World) -> None:
    """No second plan message is sent while the plan progress moves."""
    job = world.drop("in.jsonl", DATA)
    event = world.queue.receive("plan")
    assert event is not None
    world.planner.handle_event(event, lambda: 1.0)
    lose(world, "plan")
    world.clock.pass_s(STALL_S - 10)
    plan_key = keys.plan_item(TENANT, job)
    world.effects.table.write(Update(plan_key, set={"updated_ms": world.clock()}))
    assert world.sweep(after_s=20) == {"plan-in-progress": 1}
    assert world.sweep(after_s=STALL_S + 20) == {"plan-resent": 1}


def die(world: World, job: str) -> None:
    """Let a worker take the lease and die."""
    shard = world.shards(job)[0]
    world.effects.table.write(leases.claim(world.job(job), shard, world.clock())[0])


def test_an_expired_lease_is_sent_again(world: World) -> None:
    """The next worker answers the shard of a dead one, with a strike."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    lose(world, "work")
    die(world, job)
    assert world.sweep() == {}
    assert world.sweep(after_s=leases.LEASE_MS / 1000 + 1) == {"shard-resent": 1}
    assert world.sweep() == {}
    world.deliver("work")
    assert (world.shards(job)[0].strikes, world.shards(job)[0].state) == (1, state_machine.DONE)


def test_a_shard_that_kills_its_workers_is_given_up(world: World) -> None:
    """After five dead workers every record has an error row, the job ends FAILED, and the counters are exact."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    lose(world, "work")
    done: dict[str, int] = {}
    for _ in range(leases.MAX_STRIKES):
        die(world, job)
        done = world.sweep(after_s=leases.LEASE_MS / 1000 + 1)
    assert done == {"shard-given-up": 1}
    lose(world, "work")
    world.run()
    found = world.job(job)
    assert (found.state, found.shards_failed, found.records_failed, found.shards_open) == (
        state_machine.FAILED,
        1,
        2,
        0,
    )
    assert found.code == "no-record-succeeded"
    assert [row["error"]["code"] for row in world.rows(job)] == ["given-up"] * 2


def test_a_shard_that_the_sweeper_ends_is_logged_as_its_own(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The log line of the commit names the sweeper and the fence."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    die(world, job)
    shard = world.shards(job)[0]
    world.effects.table.write(Update(keys.shard_item(TENANT, job, shard.shard), set={"strikes": 4}))
    capsys.readouterr()
    assert world.sweep(after_s=leases.LEASE_MS / 1000 + 1) == {"shard-given-up": 1}
    [line] = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["event"] == "committed"]
    assert (line["function"], line["fence"]) == ("sweep", 2)


def test_giving_up_finds_the_part_of_a_worker_that_died_after_writing_it(world: World) -> None:
    """An existing result is taken. It is not replaced by error rows."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    found = world.job(job)
    shard = replace(world.shards(job)[0], strikes=4)
    world.effects.table.write(Update(keys.shard_item(TENANT, job, shard.shard), set={"strikes": 4}))

    write, leased = leases.claim(found, shard, world.clock())
    world.effects.table.write(write)
    rows = encode_rows(
        row_source(leased),
        [Record(0, 0, 1, "a"), Record(1, 1, 2, "b")],
        {0: Answer({"text": "a"}), 1: Answer({"text": "b"})},
    )
    world.sweeper.shard_commit._publish(found, leased, rows, given_up=False)
    lose(world, "work")
    assert world.sweep(after_s=leases.LEASE_MS / 1000 + 1) == {"shard-given-up": 1}
    world.run()
    assert world.job(job).state == state_machine.SUCCEEDED
    assert [row["result"]["text"] for row in world.rows(job)] == ["a", "b"]
    assert world.shards(job)[0].state == state_machine.DONE


def test_drifted_counters_are_repaired_and_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Counters that differ from the shards are corrected, the job ends, and a log line at error level says so."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    world.deliver("work")
    lose(world, "finalize")
    world.effects.table.write(Update(keys.job_item(TENANT, job), set={"shards_open": 3, "records_ok": 9}))
    assert world.sweep(after_s=STALL_S + 1) == {"finalize-resent": 1}
    assert "counters-repaired" in capsys.readouterr().out
    world.run()
    assert (world.job(job).state, world.job(job).records_ok) == (state_machine.SUCCEEDED, 2)


def test_a_cancel_that_crashed_is_finished(world: World) -> None:
    """CANCELLING without a message becomes CANCELLED, and its shards leave the index."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    world.effects.table.write(state_machine.cancel(world.job(job), world.clock()))
    lose(world, "work")
    die(world, job)
    done = world.sweep(after_s=STALL_S + 1)
    assert done == {"finalize-resent": 1, "shard-forgotten": 1}
    world.run()
    assert world.job(job).state == state_machine.CANCELLED
    assert world.sweep(after_s=10 * STALL_S) == {}


def test_a_sweep_is_bounded() -> None:
    """A run looks at no more than its limit and stops when its time is over. The next run goes on."""
    world = World(max_items=16)
    world.recipe()
    for i in range(40):
        world.drop(f"{i}.jsonl", DATA)
    for _ in range(40):
        world.deliver("plan")
    assert sum(world.sweep(after_s=STALL_S + 1).values()) <= 16
    assert world.sweeper.run(lambda: 1.0) == {"out-of-time": 1}
