"""Whose turn it is on a CPU: a pass that all cores share, or passes on lanes of one core each. Never both at a time.

A call that is alone is answered soonest by all cores. From where several come side by side, small passes that all
cores share waste them: one of 55 tokens takes 20 ms on two cores and 31 on one (XLM-R base, bfloat16; D67).
Pure: no threads, no clock.
"""

from __future__ import annotations

from typing import Protocol

from serve.engine.parallel_passes import MIN_PASS_TOKENS

CROWD_S = 0.5  # so long after as many calls as lanes were open at once, a lone row leaves the other cores to the next


class Waiting(Protocol):
    """What is known of the rows that wait; a serve.scheduling.scheduler.Scheduler."""

    @property
    def waiting_tokens(self) -> int:
        """Tokens of all of them."""
        ...

    @property
    def has_new(self) -> bool:
        """Whether a row waits that was in no pass yet."""
        ...

    def is_parallel_faster(self, n_parallel: int) -> bool:
        """Whether so many lanes are done with them sooner than all cores together."""
        ...


class CoreSchedule:
    """Counts the passes that run and says which thread may start one. `n_parallel` 1: there are no lanes."""

    def __init__(self, n_parallel: int, waiting: Waiting) -> None:
        self._n_lanes = n_parallel
        self._waiting = waiting
        self._n_whole = self._n_lane = 0
        self._crowded_until_s = float("-inf")
        self._is_crowded = False  # as of the last event: what one thread leaves for another, that one takes

    @property
    def n_running(self) -> int:
        """Passes that run."""
        return self._n_whole + self._n_lane

    @property
    def n_free(self) -> int:
        """Lanes without a pass."""
        return self._n_lanes - self._n_lane

    def see(self, n_open: int, now_s: float) -> None:
        """Note how many calls are open, now that one has come."""
        if n_open >= self._n_lanes:
            self._crowded_until_s = now_s + CROWD_S
        self._is_crowded = now_s < self._crowded_until_s

    def begin(self, *, is_single_core: bool) -> None:
        """Count a pass that starts."""
        self._n_lane += is_single_core
        self._n_whole += not is_single_core

    def end(self, now_s: float, *, is_single_core: bool) -> None:
        """Count a pass as over."""
        self._n_lane -= is_single_core
        self._n_whole -= not is_single_core
        self._is_crowded = now_s < self._crowded_until_s

    def may_start(self, *, is_single_core: bool) -> bool:
        """Say whether a lane's thread, or the one of all cores, may start a pass.

        A lane that runs is joined by others as soon as a new row waits; a few next tokens of generating rows wait for
        all cores.
        """
        if self._n_whole:
            return False
        if not is_single_core:
            return not self._n_lane and not self._is_for_lanes()
        is_joined = bool(self._n_lane) and (self._waiting.has_new or self._waiting.waiting_tokens >= MIN_PASS_TOKENS)
        return bool(self.n_free) and (is_joined or self._is_for_lanes())

    def _is_for_lanes(self) -> bool:
        """Say whether there is enough for all free lanes, or for one while calls come side by side."""
        if self._n_lanes == 1:
            return False
        enough = self._is_crowded and self._waiting.waiting_tokens >= MIN_PASS_TOKENS
        return enough or self._waiting.is_parallel_faster(self.n_free)
