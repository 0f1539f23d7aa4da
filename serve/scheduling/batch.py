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

    `slack_factor`: rows that come later may go before a row while they hold fewer tokens than this many times its own.
    `batch_every`: batch rows lead one pass in so many.
    `max_share`: the part of the admitted tokens that one tenant may hold, or all batch rows together. Who holds nothing
    may send any call that fits.
    `long_queue_share`, `max_pass_growth`: how long a pass that interactive rows lead may be while much waits. Take the
    waiting interactive rows of the tenant that has the fewest tokens waiting. If `long_queue_share` of the time that
    these rows need is longer than `max_batch_ms`, a pass may take that time, at most `max_pass_growth` times
    `max_batch_ms`.
    """

    slack_factor: float = 4.0
    batch_every: int = 8
    max_share: float = 0.75
    long_queue_share: float = 0.5
    max_pass_growth: float = 8.0


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """The rows of one forward pass, in no particular order, and the rows that expired instead.

    Give it to `Scheduler.done` after the pass, unless `items` is empty. Its pass is one of `n_parallel` that may run
    side by side. `left_rows`: it holds about all that a pass may hold, and more rows wait. `is_long`: it is one row
    that is larger than the batch bound. Then `Scheduler.next_interleaved` is to be asked between its layers. It gives
    out rows of up to `interleaved_tokens` tokens.
    """

    number: int
    items: tuple[T, ...]
    expired: tuple[T, ...]
    n_tokens: int
    n_parallel: int = 1
    left_rows: bool = False
    is_long: bool = False
    interleaved_tokens: int = 0
