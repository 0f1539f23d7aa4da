"""How fast forward passes are, learned while serving: ms = a + b * tokens by least squares.

Older passes fade, so that the model follows a machine that gets busy. Must not know rows,
queues or clocks.
"""

from __future__ import annotations

FADE = 0.98  # weight of what is known after each further pass: about the last fifty count
MOST_SURPRISE = 50.0  # as many passes a slow one may fade at most
PRIOR_PASSES = 4.0  # weight of the speed assumed at the start


class Speed:
    """An online linear model of forward time (BentoML's CORK fits the same line over rows).

    The slope is held between half of and all of mean ms / mean tokens: a line through passes of
    nearly one size says little about another size, and within these bounds a budget derived
    from it still moves toward the true one, since every pass shorter than asked raises it.
    """

    def __init__(self, tokens_per_s: float, expected_tokens: int) -> None:
        """Assume `tokens_per_s` at passes of `expected_tokens` until passes are observed."""
        self._weight = PRIOR_PASSES
        self._tokens = float(expected_tokens)
        self._ms = 1e3 * expected_tokens / tokens_per_s
        self._spread = 0.0  # weighted sum of squared deviations of tokens
        self._joint = 0.0  # weighted sum of deviations of tokens times ms

    def observe(self, n_tokens: int, seconds: float) -> None:
        """Learn from one forward pass of `n_tokens` that took `seconds`.

        A pass that took k times what was expected fades the past as k passes do, so that a machine
        that became slow is believed soon.
        """
        ms = max(1e-3, 1e3 * seconds)  # a clock that stood still must not make the speed infinite
        fade = FADE ** min(max(1.0, ms / self.forward_ms(n_tokens)), MOST_SURPRISE)
        self._weight = self._weight * fade + 1.0
        off_tokens = n_tokens - self._tokens
        self._tokens += off_tokens / self._weight
        off_ms = ms - self._ms
        self._ms += off_ms / self._weight
        self._spread = self._spread * fade + off_tokens * (n_tokens - self._tokens)
        self._joint = self._joint * fade + off_tokens * (ms - self._ms)

    @property
    def ms_per_token(self) -> float:
        """The slope b."""
        ratio = self._ms / self._tokens
        if self._spread <= 0.0:
            return ratio
        return min(max(self._joint / self._spread, ratio / 2), ratio)

    def forward_ms(self, n_tokens: int) -> float:
        """Return the expected milliseconds of a pass of `n_tokens`."""
        return self._ms + (n_tokens - self._tokens) * self.ms_per_token

    def tokens_per_s(self, n_tokens: int) -> float:
        """Return the expected tokens per second of passes of `n_tokens`."""
        return 1e3 * n_tokens / self.forward_ms(n_tokens)

    def tokens_within(self, ms: float) -> int:
        """Return how many tokens a pass of `ms` milliseconds can hold; at least 1."""
        return max(1, int(self._tokens + (ms - self._ms) / self.ms_per_token))
