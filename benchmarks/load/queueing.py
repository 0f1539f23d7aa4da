"""The latency that queueing alone costs: lanes without overhead, of which each does one row at a time at one speed.

A row takes as long as it has tokens, in any company, and nothing else takes time. Rows come at random moments (Poisson)
and go in order of arrival; or whichever has the least left to do goes first: on one lane no order has a lower mean
latency (Schrage 1968, shortest remaining processing time), though the p99 of one class of rows may be lower in another;
or whichever is due first, as in serve.scheduling.fair_queue. In all but the first a row may take a lane from another
at no cost.
Time is counted in tokens of a lane's work. Must not know models or servers.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Order = Literal["arrival", "least left", "due"]
N_ROWS = 100_000


@dataclass(slots=True)
class _Work:
    """Row `number`, which came at `came`: so many tokens of it, of which `left` are to do, due when so many came."""

    number: int
    came: float
    n_tokens: int
    left: float
    due: float


def latencies(
    lengths: Sequence[int],
    *,
    n_parallel: int,
    load: float,
    order: Order,
    slack: float = 0.0,
    n_rows: int = N_ROWS,
    seed: int = 0,
) -> Iterator[tuple[int, float]]:
    """Yield tokens and latency of each of `n_rows` rows drawn from `lengths`, at `load` of what the lanes can do.

    In the order "due" a row is due when `slack` times its own tokens have come after it.
    """
    chance = random.Random(seed)
    rate = load * n_parallel * len(lengths) / sum(lengths)
    waiting: list[tuple[float, int, _Work]] = []  # the next to do first
    running: list[_Work] = []
    now = next_arrival = 0.0
    n_come = n_done = tokens_come = 0
    while n_done < n_rows:
        next_end = min((now + work.left for work in running), default=float("inf"))
        before, now = now, min(next_end, next_arrival)
        for work in running:
            work.left -= now - before
        if next_end <= next_arrival:
            ended = min(running, key=lambda work: work.left)
            running.remove(ended)
            n_done += 1
            yield ended.n_tokens, now - ended.came
        else:
            n_tokens = chance.choice(lengths)
            tokens_come += n_tokens
            work = _Work(n_come, now, n_tokens, n_tokens, tokens_come + slack * n_tokens)
            heapq.heappush(waiting, _queued(work, order))
            n_come += 1
            next_arrival = now + chance.expovariate(rate) if n_come < n_rows else float("inf")
        _fill(waiting, running, n_parallel, order)


def _queued(work: _Work, order: Order) -> tuple[float, int, _Work]:
    """Return work as it waits: what goes first by its order."""
    first = {"arrival": work.came, "least left": work.left, "due": work.due}
    return first[order], work.number, work


def _fill(waiting: list[tuple[float, int, _Work]], running: list[_Work], n_parallel: int, order: Order) -> None:
    """Let work begin where a lane is free, or does what would go later."""
    while waiting and len(running) < n_parallel:
        running.append(heapq.heappop(waiting)[2])
    if waiting and order != "arrival":
        last = max(_queued(work, order) for work in running)
        if waiting[0] < last:
            running.remove(last[2])
            running.append(heapq.heapreplace(waiting, last)[2])
