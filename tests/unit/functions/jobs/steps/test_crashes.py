"""Jobs whose process dies, or that are cancelled, at any effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import keys, state_machine
from functions.jobs.state.transactions import Write
from tests.unit.functions.jobs.wiring import Effects
from tests.unit.functions.jobs.world import JSONL, LINES, TENANT, World, assert_whole, texts


class Killed(BaseException):
    """The process died. Nothing catches this."""


class Dying:
    """Wraps effects so that the process dies before or after effect number `at`."""

    def __init__(self, effects: Effects, at: int, *, after: bool) -> None:
        self.left, self.after = at, after
        wrapped: dict[str, Any] = {
            name: _Wrapper(getattr(effects, name), self) for name in ("table", "objects", "queue", "event_bus")
        }
        self.effects = replace(effects, **wrapped)

    def effect(self, do: Any) -> Any:
        """Do an effect, or die."""
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        done = do()
        if self.left == 0:
            raise Killed
        return done


class _Wrapper:
    def __init__(self, real: Any, dying: Dying) -> None:
        self._real, self._dying = real, dying

    def __getattr__(self, name: str) -> Any:
        """Pass all else on."""
        real = getattr(self._real, name)
        if name not in {"write", "put_new", "send", "return_message", "put"}:
            return real
        return lambda *args, **kwargs: self._dying.effect(lambda: real(*args, **kwargs))


def crash_run(at: int, *, after: bool) -> tuple[World, str, bool]:
    """Run a job of three shards whose process dies once, at effect `at`. Then time passes and the sweeper sweeps."""
    world = World(max_records=7)
    world.recipe()
    whole = world.effects
    world.use(Dying(whole, at, after=after).effects)
    world.effects = whole  # so that looking at the job is no effect
    job = world.drop("in.jsonl", b"".join(JSONL.splitlines(keepends=True)[:20]))
    died = False
    for _ in range(60):
        try:
            world.run()
        except Killed:
            died = True
            continue
        if world.job(job).state in state_machine.ENDED:
            world.run()  # what was delivered when it died comes again
            break
        world.sweep(after_s=1000)
    return world, job, died


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_effect_loses_and_doubles_nothing(*, after: bool) -> None:
    """Die once before or after each effect of a job in turn. The results equal those of a run without a crash."""
    at, died = 0, True
    while died:
        at += 1
        world, job, died = crash_run(at, after=after)
        assert world.job(job).state == state_machine.SUCCEEDED, at
        assert_whole(world, job, LINES[:20])
        assert {event["detail"]["id"] for event in world.event_bus.events} == {f"{job}.0"}, at
    assert at > 20


def test_a_worker_that_dies_after_its_part_is_finished_by_the_next() -> None:
    """The part that was written stays, whoever writes again. It is counted once."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a"}\n')
    world.deliver("plan")
    dying = Dying(world.effects, 3, after=False)  # lease, part, transaction
    worker = world.worker_on(dying.effects)
    event = world.queue.receive("work")
    assert event is not None
    with pytest.raises(Killed):
        worker.handle_event(event, lambda: 100.0)
    part = keys.part_key(TENANT, job, world.shards(job)[0].shard)
    written = world.output(part)
    world.echo.before = None
    assert world.sweep(after_s=400) == {"shard-resent": 1}
    world.run()
    assert world.output(part) == written
    assert_whole(world, job, ["a"])
    assert world.shards(job)[0].attempt == 2


def test_one_delivery_of_a_cancelled_job_discards_its_other_messages() -> None:
    """They are deleted ten in a round, without reading their shards. Messages of another job stay and are answered."""
    world = World(max_records=1)
    world.recipe()
    big = world.drop("big.jsonl", b'{"text": "a"}\n' * 95)
    world.deliver("plan")
    world.ask("POST", f"/v1/jobs/{big}/cancel")
    small = world.drop("small.jsonl", b'{"text": "b"}\n')
    world.deliver("plan")
    assert world.queue.waiting("work") == 96
    world.deliver("work")
    assert world.queue.waiting("work") == 1
    world.run()
    assert (world.job(big).state, world.job(small).state) == (state_machine.CANCELLED, state_machine.SUCCEEDED)
    assert texts(world.rows(small)) == ["b"]


def test_cancel_stops_before_the_model_and_before_the_count() -> None:
    """A cancel during the calls wins: the shard is not counted, and the manifest holds what was committed before."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", JSONL)
    world.deliver("plan")
    world.deliver("work")
    world.echo.before = lambda: world.ask("POST", f"/v1/jobs/{job}/cancel")[0]
    world.deliver("work")
    assert world.job(job).state == state_machine.CANCELLING
    world.echo.before = None
    n_calls = len(world.echo.calls)
    world.run()
    assert len(world.echo.calls) == n_calls
    found = world.job(job)
    assert (found.state, found.shards_done, found.records_ok) == (state_machine.CANCELLED, 1, 7)
    assert texts(world.rows(job)) == LINES[:7]
    assert world.manifest(job)["state"] == state_machine.CANCELLED
    for _ in range(3):
        world.sweep(after_s=1000)
    assert world.job(job) == found
    assert all(world.effects.table.due(p, "9", 10) == [] for p in keys.due_partitions())


class Late:
    """A table in which a cancel comes right before the first commit."""

    def __init__(self, world: World, job: str) -> None:
        self._real, self._world, self._job = world.effects.table, world, job

    def __getattr__(self, name: str) -> Any:
        """Pass all else on."""
        return getattr(self._real, name)

    def write(self, *writes: Write) -> None:
        """Cancel, then write."""
        if len(writes) == 2:
            self._world.ask("POST", f"/v1/jobs/{self._job}/cancel")
        self._real.write(*writes)


def test_a_late_commit_cannot_change_a_cancelled_job() -> None:
    """The transaction fails, also when the cancel comes after the worker's last look."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a"}\n')
    world.deliver("plan")
    late: Any = Late(world, job)
    event = world.queue.receive("work")
    assert event is not None
    world.worker_on(replace(world.effects, table=late)).handle_event(event, lambda: 100.0)
    world.run()
    assert (world.job(job).state, world.job(job).shards_done) == (state_machine.CANCELLED, 0)
    assert world.manifest(job)["parts"] == []
