"""A proof of batch jobs small enough for CI: crashes at every effect, random schedules, and planted bugs."""

from __future__ import annotations

import pytest

from tests.simulator.mutations import MUTATIONS, Mutation
from tests.simulator.run import play
from tests.simulator.scenarios import LARGE, SMALL, Scenario
from tests.simulator.schedule import Schedule, Seeded, shrink
from tests.simulator.search import Finding, crashes, first_broken, plain, sampled

BY_NAME = {scenario.name: scenario for scenario in SMALL}
CRASHED = ("one shard", "three staged shards", "poison, fix, redrive, redrive again", "deleted at the end")
SLOW = {  # found by `make prove` only, after hundreds of runs
    "drop the fence", "a fence without its number", "close without a condition", "moves that ignore the generation",
    "delete looks once", "a taken key is written over", "leases not in the index", "ended jobs not in the index",
    "a sweeper that leaves what waits", "a sweeper that does nothing",
    "cancel ignored by the worker", "inputs read in their newest version", "cancel ignored by the count",
}  # fmt: skip
FAST = [mutation for mutation in MUTATIONS if mutation.name not in SLOW]


@pytest.mark.parametrize("name", CRASHED)
def test_a_crash_at_any_effect_breaks_no_promise(name: str) -> None:
    """A process dies once before or after each write, send or call. No record is lost or answered twice."""
    found = first_broken(BY_NAME[name], crashes(BY_NAME[name]), "one crash")
    assert isinstance(found, int), str(found)
    assert found > 20


@pytest.mark.parametrize("scenario", LARGE, ids=[each.name for each in LARGE])
def test_sampled_schedules_of_large_jobs_break_no_promise(scenario: Scenario) -> None:
    """Five random schedules for each large scenario. A failing one is shrunk and shown."""
    found = sampled(scenario, range(1000, 1005))
    assert found == 5, str(found)


@pytest.mark.parametrize("scenario", SMALL, ids=[each.name for each in SMALL])
def test_sampled_schedules_of_small_jobs_break_no_promise(scenario: Scenario) -> None:
    """Ten random schedules for each small scenario."""
    found = sampled(scenario, range(2000, 2010))
    assert found == 10, str(found)


@pytest.mark.parametrize("mutation", FAST, ids=[each.name for each in FAST])
def test_a_planted_bug_is_caught(mutation: Mutation) -> None:
    """It shows without a fault, or with one crash."""
    for name in mutation.scenarios:
        for way in (plain, crashes):
            if isinstance(first_broken(BY_NAME[name], way(BY_NAME[name], mutation), way.__name__, mutation), Finding):
                return
    pytest.fail("no run showed it")


def test_a_seed_is_the_same_run_each_time() -> None:
    """A seed gives the same run again, decision for decision, and so does the schedule that it drew."""
    scenario = BY_NAME["three shards"]
    drawn = Seeded(7)
    first, again, told = play(scenario, drawn), play(scenario, Seeded(7)), play(scenario, Schedule(drawn.actions))
    assert first.points == again.points == told.points
    assert first.story == again.story == told.story


def test_a_failing_schedule_is_shrunk_to_what_matters() -> None:
    """Of forty faults, the two that the failure needs are left."""
    full = dict.fromkeys(range(40), "freeze")
    assert shrink(full, lambda fewer: {3, 31} <= set(fewer.actions)) == {3: "freeze", 31: "freeze"}
