"""The values that a scheduler takes and gives out: how it chooses rows, and the rows of one forward pass.

Plain frozen data. Must not know queues, threads or clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from serve.scheduling.fair_queue import T


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a scheduler chooses rows.

    `slack`: rows that come later may go before a row while they hold fewer than `slack` times its tokens.
    `batch_every`: every so many passes, rows of class batch lead one.
    `max_share`: the part of the admitted tokens that one tenant may hold, or all rows of class batch together. It
    bounds only those who hold some already; the rest is for others.
    `long_queue_share`, `max_pass_growth`: when all interactive rows of every tenant need longer than `max_batch_ms`,
    a pass they lead may be longer too. It may take `long_queue_share` of the time that the tenant with the shortest
    queue needs, and at most `max_pass_growth` times `max_batch_ms`.
    """

    slack: float = 4.0
    batch_every: int = 8
    max_share: float = 0.75
    long_queue_share: float = 0.5
    max_pass_growth: float = 8.0


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """The rows of one forward pass, in no particular order, and the rows that expired instead.

    Give it to `Scheduler.done` after the pass, unless `items` is empty. Its pass is one of `n_parallel` that may run
    side by side. Other rows of up to `interleaved_tokens` tokens may run between its layers
    (`Scheduler.next_interleaved`).
    """

    number: int
    items: tuple[T, ...]
    expired: tuple[T, ...]
    n_tokens: int
    n_parallel: int = 1
    interleaved_tokens: int = 0
