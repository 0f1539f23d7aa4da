"""Estimates how many tokens a second full passes read, to say how long a backlog takes.

Reading the weights takes most of a tiny pass. So tiny passes say nothing about full ones, however many there are: only
a pass that left rows waiting counts, or one of many tokens. Must not know queues, rows or clocks.
"""

from __future__ import annotations

import math

PRIOR_PASSES = 4.0  # weight of the speed that is assumed at the start, in full passes
MEMORY_PASSES = 50.0  # a pass weighs a third when passes have run for as long as this many full ones since
MANY_SHARE = 0.5  # of the tokens of a full pass at the assumed speed: so many count even when nothing waits


class FullSpeed:
    """The tokens of passes that count, divided by their seconds; older ones weigh less.

    Passes are forgotten by the seconds that later ones took. So one slow pass replaces many fast ones, and the estimate
    follows a machine that became slow within seconds of its work.
    """

    def __init__(self, tokens_per_s: float, full_tokens: int) -> None:
        """Assume `tokens_per_s`, and that a full pass has `full_tokens`, until passes are observed."""
        pass_s = full_tokens / tokens_per_s
        self._many_tokens = MANY_SHARE * full_tokens
        self._memory_s = MEMORY_PASSES * pass_s
        self._seconds = PRIOR_PASSES * pass_s
        self._tokens = PRIOR_PASSES * full_tokens

    @property
    def tokens_per_s(self) -> float:
        """The speed of full passes."""
        return self._tokens / self._seconds

    def observe(self, n_tokens: int, seconds: float, *, left_rows: bool) -> None:
        """Learn from a pass of `n_tokens` that took `seconds`. `left_rows`: it was full, and more rows waited."""
        if not left_rows and n_tokens < self._many_tokens:
            return
        seconds = max(1e-6, seconds)  # a clock that stood still must not make the speed infinite
        kept = math.exp(-seconds / self._memory_s)
        self._tokens = self._tokens * kept + n_tokens
        self._seconds = self._seconds * kept + seconds
