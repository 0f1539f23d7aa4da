"""Looks for schedules that break a promise: one fault at any point, two faults together, or many random ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from tests.simulator.mutations import Mutation
from tests.simulator.run import Outcome, play
from tests.simulator.scenarios import SMALL, Scenario
from tests.simulator.schedule import TRACES, Schedule, Seeded, shrink

PICKS = ("drop 0", "dup 0", "delay 0", "take 1")
CRASHES = ("crash before", "crash after")
OTHERS = ("freeze", "twin", "sweep", "wait")
NEAR = 20  # two faults that belong together are at most this many decisions apart
SEEDS = 600


@dataclass(frozen=True)
class Finding:
    """A schedule that breaks a promise: how it was found, after how many runs, and its shortest form."""

    scenario: str
    how: str
    n_runs: int
    actions: dict[int, str]
    outcome: Outcome

    def __str__(self) -> str:
        """Return the whole story."""
        story = "\n".join(["", *self.outcome.story]) if self.outcome.story else " without any fault"
        return f"{self.scenario}, {self.how}:{story}\n  -> {self.outcome.broken}"


def crashes(scenario: Scenario, mutation: Mutation | None = None) -> Iterator[dict[int, str]]:
    """Yield each run in which a process dies once, before or after each effect that leaves a trace."""
    for number, point in enumerate(play(scenario, Schedule(), mutation).points):
        if point.kind in TRACES:
            yield from ({number: action} for action in CRASHES)


def singles(scenario: Scenario, mutation: Mutation | None = None) -> Iterator[dict[int, str]]:
    """Yield each run with one fault of any kind, at any effect or delivery. Crashes come first."""
    yield from crashes(scenario, mutation)
    for number, point in enumerate(play(scenario, Schedule(), mutation).points):
        if point.kind == "pick":
            yield from ({number: action} for action in PICKS)
            continue
        actions = (*OTHERS, *scenario.anytime) + (CRASHES[:1] if point.kind not in TRACES else ())
        yield from ({number: action} for action in actions)


def pairs(scenario: Scenario, mutation: Mutation | None = None) -> Iterator[dict[int, str]]:
    """Yield runs with two faults: a planner or finalizer with a second delivery, of which one soon freezes or dies.

    Other runs let it die, and lose its message when it comes again.
    """
    for number, point in enumerate(play(scenario, Schedule(), mutation).points):
        if point.kind != "pick" and point.what.startswith(("finalize", "plan")):
            for later in range(number + 1, number + NEAR):
                yield from ({number: "twin", later: action} for action in ("freeze", "crash after"))
                if point.kind in TRACES:
                    yield {number: "crash after", later: "drop 0"}


def all_pairs(scenario: Scenario) -> Iterator[dict[int, str]]:
    """Yield runs with any two faults that leave a trace, for the smallest jobs."""
    points = play(scenario, Schedule()).points
    ones = [
        (n, action) for n, p in enumerate(points) if p.kind in TRACES for action in ("crash after", "freeze", "twin")
    ]
    yield from ({n: a, later: b} for n, a in ones for later, b in ones if later > n)


def first_broken(
    scenario: Scenario, runs: Iterable[dict[int, str]], how: str, mutation: Mutation | None = None
) -> Finding | int:
    """Return the first finding among runs, or how many there were."""
    n_runs = 0
    for actions in runs:
        n_runs += 1
        outcome = play(scenario, Schedule(actions), mutation)
        if outcome.broken is not None:
            return Finding(scenario.name, how, n_runs, actions, outcome)
    return n_runs


def sampled(scenario: Scenario, seeds: Iterable[int], mutation: Mutation | None = None) -> Finding | int:
    """Return the first finding among random schedules, shrunk, or how many there were."""
    n_runs = 0
    for seed in seeds:
        n_runs += 1
        schedule = Seeded(seed, scenario.anytime)
        if play(scenario, schedule, mutation).broken is not None:
            least = shrink(schedule.actions, lambda fewer: play(scenario, fewer, mutation).broken is not None)
            outcome = play(scenario, Schedule(least), mutation)
            return Finding(scenario.name, f"seed {seed}", n_runs, least, outcome)
    return n_runs


def catch(mutation: Mutation, *, n_seeds: int = SEEDS) -> Finding | int:
    """Return how a planted bug shows itself, or how many runs did not show it."""
    scenarios = [scenario for scenario in SMALL if scenario.name in mutation.scenarios]
    n_runs = 0
    for way in (plain, singles, None, pairs):
        for scenario in scenarios:
            if way is None:
                found = sampled(scenario, range(n_seeds), mutation)
            else:
                found = first_broken(scenario, way(scenario, mutation), way.__name__.rstrip("s"), mutation)
            if isinstance(found, Finding):
                return replace(found, n_runs=n_runs + found.n_runs)
            n_runs += found
    return n_runs


def plain(_scenario: Scenario, _mutation: Mutation | None = None) -> Iterator[dict[int, str]]:
    """Yield the run without any fault."""
    yield {}
