"""A runner over an engine, with a scheduler bounded by tokens alone, and calls for it."""

from __future__ import annotations

from typing import Any

from serve.engine.fake import FakeEngine
from serve.rows.row import row_of
from serve.scheduling.pending_calls import PendingCall, PendingRow
from serve.scheduling.runner import Runner
from serve.scheduling.scheduler import Scheduler

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
