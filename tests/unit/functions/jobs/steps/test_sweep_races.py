"""The sweeper while jobs and shards move on, are deleted, or cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest

from functions.jobs.state import keys, state_machine
from functions.jobs.state.s3_events import ObjectCreated
from functions.jobs.state.transactions import ConditionFailed, Item, Update
from functions.jobs.storage.contracts import Table
from tests.unit.functions.jobs.steps.test_sweep import DATA, STALL_S, die, lose, world
from tests.unit.functions.jobs.world import TENANT, World

__all__ = ["world"]  # a fixture


def test_a_shard_that_moves_meanwhile_is_left_alone(world: World) -> None:
    """A write that comes too late is counted as overtaken, and changes nothing."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    lose(world, "work")
    die(world, job)

    class Moving:
        def __init__(self) -> None:
            self.real = world.effects.table

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def write(self, *_: object) -> None:
            raise ConditionFailed((0,))

    world.use(replace(world.effects, table=cast("Table", Moving())))
    assert world.sweep(after_s=STALL_S + 1) == {"overtaken": 1, "running": 1}


@dataclass
class Between:
    """The world's table. It lets something happen before each read of a key that ends in `sk`."""

    real: Table
    sk: str
    happens: Callable[[keys.Key], object]
    n_reads: int = 0

    def __getattr__(self, name: str) -> object:
        """Pass everything else on."""
        return getattr(self.real, name)

    def get(self, key: keys.Key) -> Item | None:
        """Read, after what happens."""
        if key.sk == self.sk:
            self.n_reads += 1
            self.happens(key)
        return self.real.get(key)


def test_a_job_that_is_deleted_between_two_reads_is_gone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that was due, and was deleted before it is read as a job, is no error."""
    job = world.drop("in.jsonl", DATA)
    world.deliver("plan")
    lose(world, "work")

    def end(key: keys.Key) -> None:
        if between.n_reads == 2:
            real.write(Update(key, set={"state": state_machine.DELETED}))

    real = world.effects.table
    between = Between(real, "job", end)
    world.use(replace(world.effects, table=cast("Table", between)))
    assert world.job(job).state == state_machine.RUNNING
    between.n_reads = 0
    assert world.sweep(after_s=STALL_S + 1) == {"gone": 1}
    assert "sweep-failed" not in capsys.readouterr().out


def test_an_item_that_cannot_be_looked_at_stops_no_other(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The type of its error is logged without its text, and counted. The other items are looked at."""
    broken, _ = world.drop("a.jsonl", DATA), world.drop("b.jsonl", DATA)
    lose(world, "plan")
    for name in ("a.jsonl", "b.jsonl"):
        stored = world.effects.objects.head("input", keys.inbox_key(TENANT, "topics", name))
        assert stored is not None
        created = ObjectCreated("input", stored.key, stored.size_bytes, stored.version, stored.etag)
        world.planner.acceptor.accept(created)

    def fail(key: keys.Key) -> None:
        if broken in key.pk:
            raise ValueError("secret")

    world.use(replace(world.effects, table=cast("Table", Between(world.effects.table, "job", fail))))
    assert world.sweep(after_s=STALL_S + 1) == {"failed": 1, "plan-resent": 1}
    said = capsys.readouterr().out
    assert "ValueError" in said
    assert "secret" not in said
