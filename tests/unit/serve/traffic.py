"""Rows without text and an engine without weights, to try the scheduler on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from serve.scheduler import Batch, Scheduler, Tuning


@dataclass(frozen=True)
class Job:
    """One row; `index` tells it from the others of its call."""

    n_tokens: int
    key: int
    index: int = 0
    tenant: str = "a"
    priority: str = "interactive"
    deadline_s: float = math.inf


def call(
    key: int, *lengths: int, tenant: str = "a", priority: str = "interactive", deadline_s: float = math.inf
) -> list[Job]:
    """Return the rows of one call."""
    return [Job(n, key, index, tenant, priority, deadline_s) for index, n in enumerate(lengths)]


def scheduler(
    token_budget: int = 100, max_backlog_tokens: int = 10_000, max_batch_ms: float | None = None, **tuning: float
) -> Scheduler[Job]:
    """Return a scheduler bounded by tokens alone, unless told otherwise."""
    return Scheduler(
        token_budget=token_budget,
        max_backlog_tokens=max_backlog_tokens,
        max_batch_ms=max_batch_ms,
        tuning=Tuning(**tuning),  # type: ignore[arg-type]  # whole numbers where it wants them
    )


def passes(
    under_test: Scheduler[Job], count: int, seconds: Callable[[int], float] = lambda n_tokens: n_tokens / 1000
) -> Iterator[Batch[Job]]:
    """Run `count` passes one after the other on a simulated engine and clock; yield each batch when done."""
    now_s = 0.0
    for _ in range(count):
        batch = under_test.next_batch(now_s)
        if batch.items:
            now_s += seconds(batch.n_tokens)
            under_test.done(batch, seconds(batch.n_tokens))
        yield batch
