"""Estimates how fast forward passes are, from the passes that were measured: ms = a + b * tokens by least squares.

Older passes count less and less, so that the estimate follows a machine that becomes busy.
Must not know rows, queues or clocks.
"""

from __future__ import annotations

DECAY = 0.98  # factor on the weight of older passes with each new one; about the last fifty passes count
MAX_DECAY_PASSES = 50.0  # one slow pass may decay the past as much as this many passes
PRIOR_PASSES = 4.0  # weight of the speed that is assumed at the start


class SpeedEstimate:
    """An online linear model of forward time. BentoML's CORK fits the same line over rows.

    The slope is at least half of mean ms / mean tokens, and at most all of it. Without these limits, passes of nearly
    one size would say nothing reliable about other sizes. A token budget that is derived from the estimate still moves
    to the true one, because each pass that is faster than asked raises it.
    """

    def __init__(self, tokens_per_s: float, expected_tokens: int) -> None:
        """Assume `tokens_per_s` at passes of `expected_tokens` until passes are observed."""
        self._weight = PRIOR_PASSES
        self._mean_tokens = float(expected_tokens)
        self._mean_ms = 1e3 * expected_tokens / tokens_per_s
        self._variance = 0.0  # weighted sum of squared deviations of tokens
        self._covariance = 0.0  # weighted sum of deviations of tokens times deviations of ms

    def observe(self, n_tokens: int, seconds: float) -> None:
        """Learn from one forward pass of `n_tokens` that took `seconds`.

        A pass that took k times the expected time decays the past as k passes do. So the estimate soon follows a
        machine that became slow.
        """
        ms = max(1e-3, 1e3 * seconds)  # a clock that stood still must not make the speed infinite
        decay = DECAY ** min(max(1.0, ms / self.forward_ms(n_tokens)), MAX_DECAY_PASSES)
        self._weight = self._weight * decay + 1.0
        tokens_deviation = n_tokens - self._mean_tokens
        self._mean_tokens += tokens_deviation / self._weight
        ms_deviation = ms - self._mean_ms
        self._mean_ms += ms_deviation / self._weight
        self._variance = self._variance * decay + tokens_deviation * (n_tokens - self._mean_tokens)
        self._covariance = self._covariance * decay + tokens_deviation * (ms - self._mean_ms)

    @property
    def ms_per_token(self) -> float:
        """The slope b."""
        ratio = self._mean_ms / self._mean_tokens
        if self._variance <= 0.0:
            return ratio
        return min(max(self._covariance / self._variance, ratio / 2), ratio)

    def forward_ms(self, n_tokens: int) -> float:
        """Return the expected milliseconds of a pass of `n_tokens`."""
        return self._mean_ms + (n_tokens - self._mean_tokens) * self.ms_per_token

    def tokens_per_s(self, n_tokens: int) -> float:
        """Return the expected tokens per second of passes of `n_tokens`."""
        return 1e3 * n_tokens / self.forward_ms(n_tokens)

    def tokens_within(self, ms: float) -> int:
        """Return how many tokens a pass of `ms` milliseconds can hold, at least 1."""
        return max(1, int(self._mean_tokens + (ms - self._mean_ms) / self.ms_per_token))
