"""Lanes: a pass shared out over the cores of a CPU, each part on a thread of its own with one core.

When all cores work on one product they meet after every product and wait for the slowest; an attention product of one
short row is too small to divide at all. Parts of a pass never meet before its end.
Must not know weights, heads or what rows ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from typing import TypeVar

import torch

from serve.cores import take_cores
from serve.rows import Row

V = TypeVar("V")
Part = Mapping[int, Row]

MIN_LANE_TOKENS = 128  # fewer tokens a lane: each reading all weights costs more than the meetings
MAX_LEAN = 1.4  # times the mean that a lane may hold: a longer one is done sooner by all cores together


class Lanes:
    """`n_lanes` threads of one core each; with one lane all is done in the caller's thread."""

    def __init__(self, n_lanes: int) -> None:
        self.n_lanes = n_lanes
        self._threads = _started(n_lanes) if n_lanes > 1 else None

    def run(self, rows: Part, work: Callable[[Part], Mapping[int, V]]) -> dict[int, V]:
        """Return what `work` says of the rows, by the caller's index; `work` is called for each part at once.

        Raises what `work` raises.
        """
        parts = share(rows, self.n_lanes)
        if self._threads is None or len(parts) == 1:
            return dict(work(rows))
        answers: dict[int, V] = {}
        futures = [self._threads.submit(work, part) for part in parts]
        wait(futures)  # all of them: the engine is not asked again while a lane still works
        for future in futures:
            answers.update(future.result())
        return answers


def share(rows: Part, n_lanes: int) -> list[Part]:
    """Divide rows into parts of near equal numbers of tokens, longest first; one part where dividing does not pay."""
    total = sum(row.n_tokens for row in rows.values())
    if n_lanes == 1 or total < n_lanes * MIN_LANE_TOKENS:
        return [rows]
    parts: list[dict[int, Row]] = [{} for _ in range(n_lanes)]
    held = [0] * n_lanes
    for index in sorted(rows, key=lambda index: -rows[index].n_tokens):
        lane = held.index(min(held))
        parts[lane][index] = rows[index]
        held[lane] += rows[index].n_tokens
    return list(parts) if max(held) * n_lanes <= MAX_LEAN * total else [rows]


def _started(n_lanes: int) -> ThreadPoolExecutor:
    """Start the threads; the number of threads that torch uses in the caller's and in later ones stays."""
    before = torch.get_num_threads()
    together = Barrier(n_lanes + 1)
    threads = ThreadPoolExecutor(n_lanes, thread_name_prefix="lane", initializer=take_cores, initargs=(1,))
    for _ in range(n_lanes):
        threads.submit(together.wait)
    together.wait()
    torch.set_num_threads(before)
    return threads
