"""Computes the latency that queueing alone costs: parallel passes without overhead, each with one row at a time.

All passes have one speed. A row takes as long as it has tokens, and nothing else takes time. Rows arrive at random
moments (Poisson). There are three orders. In order of arrival, a row runs until it is done. In order of the least work
left, no other order has a lower mean latency with one pass (Schrage 1968, shortest remaining processing time); the p99
of one class of rows may still be lower in another order. In order of due time, rows go as in
`serve.scheduling.fair_queue`. In the last two orders a row may take the pass of another row at no cost.

Time is counted in tokens that one pass computes. Must not know models or servers.
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
    """One row: when it arrived, its tokens, how many are left to do, and after how many arrived tokens it is due."""

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
    """Yield the tokens and the latency of each of `n_rows` rows, whose lengths are drawn from `lengths`.

    `load` is the share of the capacity of `n_parallel` passes that arrives. In the order "due", a row is due when
    `slack` times its own tokens have arrived after it.
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
    """Return the entry of a row in the queue of its order; the smallest goes first."""
    first = {"arrival": work.came, "least left": work.left, "due": work.due}
    return first[order], work.number, work


def _fill(waiting: list[tuple[float, int, _Work]], running: list[_Work], n_parallel: int, order: Order) -> None:
    """Start rows on free passes, and in place of running rows that the order puts later."""
    while waiting and len(running) < n_parallel:
        running.append(heapq.heappop(waiting)[2])
    if waiting and order != "arrival":
        last = max(_queued(work, order) for work in running)
        if waiting[0] < last:
            running.remove(last[2])
            running.append(heapq.heapreplace(waiting, last)[2])
