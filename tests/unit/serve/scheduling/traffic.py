"""Calls without text for tests of the scheduler and the runner, and a simulated engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from serve.engine.fake import FakeEngine
from serve.rows.row import row_of
from serve.scheduling.batch import Batch, Tuning
from serve.scheduling.pending_calls import PendingCall, PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler


@dataclass(frozen=True)
class Job:
    """One row. `index` tells it from the others of its call."""

    n_tokens: int
    key: int
    index: int = 0
    tenant: str = "a"
    priority: str = "interactive"
    deadline_s: float = math.inf
    n_more: int = 0  # how often it re-enters, with `step_tokens` each time
    step_tokens: int = 1
    n_came: int = 0
    first_tokens: int = 0
    cache_bytes: int = 0

    @property
    def most_tokens(self) -> int:
        """Tokens that admission counts; the same however far the job has come."""
        return (self.first_tokens or self.n_tokens) + self.n_more + self.n_came

    def again(self) -> Job:
        """Return the job as it re-enters."""
        return replace(
            self,
            n_tokens=self.step_tokens,
            n_more=self.n_more - 1,
            n_came=self.n_came + 1,
            first_tokens=self.first_tokens or self.n_tokens,
        )


def call(
    key: int,
    *lengths: int,
    tenant: str = "a",
    priority: str = "interactive",
    deadline_s: float = math.inf,
    **more: int,
) -> list[Job]:
    """Return the rows of one call. `more` are other fields of each."""
    return [Job(n, key, index, tenant, priority, deadline_s, **more) for index, n in enumerate(lengths)]


def scheduler(
    token_budget: int = 100,
    max_backlog_tokens: int = 10_000,
    max_batch_ms: float | None = None,
    max_cache_bytes: int = 2**30,
    **tuning: float,
) -> Scheduler[Job]:
    """Return a scheduler that is bounded by tokens alone, unless told otherwise."""
    return Scheduler(
        token_budget=token_budget,
        max_backlog_tokens=max_backlog_tokens,
        max_batch_ms=max_batch_ms,
        max_cache_bytes=max_cache_bytes,
        tuning=Tuning(**tuning),  # type: ignore[arg-type]  # the tests give whole numbers where it wants them
    )


def passes(
    under_test: Scheduler[Job], count: int, seconds: Callable[[int], float] = lambda n_tokens: n_tokens / 1000
) -> Iterator[Batch[Job]]:
    """Run `count` passes one after the other on a simulated engine and clock. Yield each batch when it is done."""
    now_s = 0.0
    for _ in range(count):
        batch = under_test.next_batch(now_s)
        if batch.items:
            now_s += seconds(batch.n_tokens)
            under_test.done(batch, seconds(batch.n_tokens))
        yield batch


def lengths(jobs: tuple[Job, ...]) -> list[int]:
    """Return the sorted lengths of the rows of a batch."""
    return sorted(job.n_tokens for job in jobs)


FOREVER_S = 1e6


def runner_of(engine: FakeEngine, *, token_budget: int = 64, max_backlog_tokens: int = 1000) -> Runner:
    """Return a runner over an engine. Its batches are bounded by tokens alone."""
    scheduler = Scheduler[PendingRow](
        token_budget=token_budget, max_backlog_tokens=max_backlog_tokens, max_batch_ms=None
    )
    return Runner(engine, scheduler, row_of([0], "topic"))


def submit(runner: Runner, *rows: list[int], deadline_s: float = FOREVER_S, **named: Any) -> PendingCall:
    """Submit a call of rows with these ids. `named` are other arguments of `Runner.submit`."""
    options = {"priority": "interactive", "tenant": "t", **named}
    return runner.submit([row_of(ids, "topic") for ids in rows], deadline_s=deadline_s, **options)


class BrokenScheduler(Scheduler[PendingRow]):
    """A scheduler with a bug outside the forward pass: it cannot count a batch as done."""

    def done(self, batch: object, seconds: float | None) -> None:
        """Fail."""
        raise KeyError("planted")
