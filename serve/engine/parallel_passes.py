"""Decides when passes run in parallel, one per core, instead of one pass on all cores.

When all cores share a pass, they wait for the slowest core after every product. The attention of one short row is too
small to share. Parallel passes never wait for each other, even if another process slows one of them. A few tokens are
still answered sooner by all cores together. `CoreSchedule` says which kind of pass may start now. This module is pure:
it must not know threads, weights or what rows ask for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

MIN_PASS_TOKENS = 32  # for each pass: with fewer tokens, reading all weights in every pass costs more than waiting
MAX_ROW_TO_PASS_RATIO = 1.4  # of the longest row to the mean tokens of a pass; above it, all cores together are faster
BUSY_S = 0.5  # for so long after `n_parallel` calls were open at once, a row that waits alone gets one core, not all


def is_parallel_faster(n_tokens: int, longest_tokens: int, n_parallel: int) -> bool:
    """Say whether `n_parallel` passes are faster than one on all cores, for rows of at most `longest_tokens`."""
    if n_parallel == 1 or n_tokens < n_parallel * MIN_PASS_TOKENS:
        return False
    return longest_tokens * n_parallel <= MAX_ROW_TO_PASS_RATIO * n_tokens


def partition_rows(sizes: Mapping[int, int], n_parallel: int, most_tokens: int) -> list[list[int]]:
    """Divide rows into parts with nearly equal numbers of tokens. `sizes` are the tokens of each row by its index.

    A part has about `most_tokens` tokens or is one row. Rows of similar length go together, the longest first. The
    number of parts is a multiple of `n_parallel`, or smaller when there are few rows.
    """
    total = sum(sizes.values())
    n_parts = n_parallel * math.ceil(total / (n_parallel * most_tokens))
    parts: list[list[int]] = [[] for _ in range(n_parts)]
    before = 0
    for index in sorted(sizes, key=lambda index: -sizes[index]):
        middle = before + sizes[index] // 2
        parts[min(n_parts - 1, middle * n_parts // total)].append(index)  # a row without tokens is refused later
        before += sizes[index]
    return [part for part in parts if part]


class Waiting(Protocol):
    """What is known of the rows that wait. A serve.scheduling.scheduler.Scheduler knows it."""

    @property
    def waiting_tokens(self) -> int:
        """Tokens of all waiting rows."""
        ...

    @property
    def has_new(self) -> bool:
        """Whether a row waits for its first pass."""
        ...

    def is_parallel_faster(self, n_parallel: int) -> bool:
        """Whether `n_parallel` passes of one core each finish the waiting rows sooner than one pass of all cores."""
        ...


class CoreSchedule:
    """Counts the passes that run, and says which thread may start one.

    With `n_parallel` 1 there are no parallel passes. Whether the schedule counts as busy changes only in
    `note_open_calls` and `end`, never between them by time alone. So when one thread leaves rows to another, that one
    also finds that it may start.
    """

    def __init__(self, n_parallel: int, waiting: Waiting) -> None:
        self._n_parallel = n_parallel
        self._waiting = waiting
        self._n_all_cores = self._n_single_core = 0
        self._busy_until_s = float("-inf")
        self._is_busy = False

    @property
    def n_running(self) -> int:
        """Passes that run."""
        return self._n_all_cores + self._n_single_core

    @property
    def n_free(self) -> int:
        """Parallel passes that may still start."""
        return self._n_parallel - self._n_single_core

    def note_open_calls(self, n_open: int, now_s: float) -> None:
        """Note that a call has come, and that `n_open` calls are open with it."""
        if n_open >= self._n_parallel:
            self._busy_until_s = now_s + BUSY_S
        self._is_busy = now_s < self._busy_until_s

    def begin(self, *, is_single_core: bool) -> None:
        """Count a pass that starts."""
        self._n_single_core += is_single_core
        self._n_all_cores += not is_single_core

    def end(self, now_s: float, *, is_single_core: bool) -> None:
        """Stop counting a pass that is over."""
        self._n_single_core -= is_single_core
        self._n_all_cores -= not is_single_core
        self._is_busy = now_s < self._busy_until_s

    def may_start(self, *, is_single_core: bool) -> bool:
        """Say whether a thread of one core, or the thread of all cores, may start a pass.

        Beside a running pass of one core, others start as soon as a new row waits. When only a few next tokens of
        generating rows wait, they wait for all cores.
        """
        if self._n_all_cores:
            return False
        if not is_single_core:
            return not self._n_single_core and not self._is_parallel_better()
        has_enough = self._waiting.has_new or self._waiting.waiting_tokens >= MIN_PASS_TOKENS
        joins_another = bool(self._n_single_core) and has_enough
        return bool(self.n_free) and (joins_another or self._is_parallel_better())

    def _is_parallel_better(self) -> bool:
        """Say whether enough waits for all free parallel passes, or, while several calls are open, for one."""
        if self._n_parallel == 1:
            return False
        is_enough_for_one = self._is_busy and self._waiting.waiting_tokens >= MIN_PASS_TOKENS
        return is_enough_for_one or self._waiting.is_parallel_faster(self.n_free)
