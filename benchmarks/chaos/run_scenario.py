"""Runs one scenario: sends the load, carries out the steps at their times, and keeps what was seen.

Must not know how a step is carried out, or what must hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from benchmarks.chaos.calls import Happening, Job, Seen, Usage
from benchmarks.chaos.load import Corpus, Load
from benchmarks.chaos.scenarios import Scenario, Step

LOOK_S = 1.0  # between two looks at memory
PEAK_S, PEAK_CALLERS = 12.0, 8
WARM_S = 6.0
USUAL_PER_S = 5.0
MAX_OPEN = 64


class World(Protocol):
    """What is broken: a stack that answers at `url`."""

    url: str

    def make_ready(self, n_replicas: int) -> None:
        """Heal everything, and wait until so many replicas answer."""
        ...

    def do(self, step: Step) -> str:
        """Carry out a step; return in words what was done."""
        ...

    def heal(self) -> None:
        """Undo what is undone by hand."""
        ...

    def n_calls(self) -> int:
        """Return how many calls have reached the model server so far."""
        ...

    def usage(self, at_s: float) -> Iterable[Usage]:
        """Return memory and open files of each part now."""
        ...


class Jobs(Protocol):
    """Submits a batch job, and later says how it ended."""

    def submit(self) -> None:
        """Submit it."""
        ...

    def ended(self) -> Job:
        """Wait for it; return how it ended."""
        ...


async def run(
    world: World,
    chosen: Scenario,
    corpus: Corpus,
    jobs: Jobs | None = None,
    *,
    say: Callable[[str], object] = print,
    warm_s: float = WARM_S,
) -> Seen:
    """Run a scenario and return what was seen. The world is healed at the end, whatever happens.

    `corpus` is that of the scenario's texts. `jobs` is needed by scenarios that submit one. Raises RuntimeError when
    the world does not get ready.
    """
    await asyncio.to_thread(world.make_ready, chosen.replicas)
    say(f"{chosen.name}: {chosen.says}")
    await Load(world.url, corpus).peak_per_s(warm_s, PEAK_CALLERS)  # functions start, and replicas are warm
    peak = None
    if chosen.peak_share is not None:
        peak = await Load(world.url, corpus).peak_per_s(PEAK_S, PEAK_CALLERS)
        say(f"  at its best: {peak:.1f} calls/s")
    load = Load(world.url, corpus, max_open=MAX_OPEN)
    calm_per_s = chosen.per_s if peak is None else peak * (chosen.peak_share or 1.0)
    load.per_s = calm_per_s or USUAL_PER_S
    ends_s = chosen.calm_s + chosen.seconds + chosen.after_s
    happenings: list[Happening] = []
    usage: list[Usage] = []
    before = world.n_calls()
    watching = asyncio.create_task(_watch(world, load, usage))
    try:
        steps = asyncio.create_task(_steps(world, chosen, load, happenings, jobs))
        await load.run(ends_s)
        n_upstream = world.n_calls() - before
        await steps
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.to_thread(world.heal)
    for each in happenings:
        say(f"  {each.at_s:6.1f} s: {each.what}")
    job = await asyncio.to_thread(jobs.ended) if jobs is not None and _submits(chosen) else None
    return Seen(
        calls=sorted(load.calls, key=lambda call: call.due_s),
        happenings=happenings,
        calm_s=chosen.calm_s,
        fault_ends_s=chosen.calm_s + chosen.seconds,
        ends_s=ends_s,
        n_upstream=n_upstream,
        peak_per_s=peak,
        usage=usage,
        job=job,
    )


def _submits(chosen: Scenario) -> bool:
    return any(step.action == "submit job" for step in chosen.steps)


async def _steps(world: World, chosen: Scenario, load: Load, happenings: list[Happening], jobs: Jobs | None) -> None:
    """Carry out each step at its time. A step that lasts does not delay the load."""
    calm_per_s = load.per_s
    begun_s = time.monotonic()
    for step in sorted(chosen.steps, key=lambda step: step.at_s):
        await asyncio.sleep(max(0.0, begun_s + chosen.calm_s + step.at_s - time.monotonic()))
        at_s = load.now_s()
        if step.action == "load":
            load.per_s = calm_per_s * step.factor
            what = f"{load.per_s:.1f} calls/s"
        elif step.action == "submit job":
            assert jobs is not None, f"got {chosen.name} without jobs, expected some"  # noqa: S101 - a bug of the caller
            await asyncio.to_thread(jobs.submit)
            what = "a batch job was submitted"
        else:
            what = await asyncio.to_thread(world.do, step)
        happenings.append(Happening(at_s, what, is_fault=step.is_fault, heals=step.heals))


async def _watch(world: World, load: Load, usage: list[Usage]) -> None:
    while True:
        usage.extend(await asyncio.to_thread(lambda: list(world.usage(load.now_s()))))
        await asyncio.sleep(LOOK_S)
