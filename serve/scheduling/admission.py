"""Decides whether a call is admitted, and estimates how fast passes are, to say when there will be room.

Admission counts the tokens of what is admitted and not done, and its key and value bytes. A call that can never fit is
refused with TooLarge (413), a call that does not fit now with Overloaded (429). The speed is a line through the passes
that were measured, ms = a + b * tokens by least squares, in which older passes count less. Must not know queues, passes
or clocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from serve.scheduling.fair_queue import QueuedRow
from shared.errors import Overloaded, TooLarge

Holder = tuple[str, str]  # ("tenant", its name), or ("priority", "batch") for all batch rows together
# Of the speed estimate:
DECAY = 0.98  # factor on the weight of older passes with each new one; about the last fifty passes count
MAX_DECAY_PASSES = 50.0  # one slow pass may decay the past as much as this many passes
PRIOR_PASSES = 4.0  # weight of the speed that is assumed at the start


class Admission:
    """Limits the tokens and cache bytes of all admitted rows, and the tokens of each holder.

    Each holder gets at most `max_share` of the tokens. A holder is a tenant, or all batch rows together. A holder that
    holds nothing may send any call that fits.
    """

    def __init__(self, max_tokens: int, max_cache_bytes: int, max_share: float) -> None:
        self._max_tokens = max_tokens
        self._max_cache_bytes = max_cache_bytes
        self._max_holder_tokens = int(max_share * max_tokens)
        self._holder_tokens: Counter[Holder] = Counter()
        self.n_tokens = 0
        self.cache_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is admitted that is not done."""
        return not (self.n_tokens or self.cache_bytes or self._holder_tokens)

    def check_size(self, items: Sequence[QueuedRow]) -> None:
        """Refuse a call that could never be admitted. Raises TooLarge."""
        n_tokens, n_bytes = _tokens(items), _bytes(items)
        if n_tokens > self._max_tokens:
            raise TooLarge(f"got a call of {n_tokens} tokens, at most {self._max_tokens}")
        if n_bytes > self._max_cache_bytes:
            raise TooLarge(
                f"got a call that keeps {n_bytes} bytes of keys and values, at most {self._max_cache_bytes}",
                hint="ask for fewer sequences, fewer tokens or fewer rows at a time",
            )

    def check_room(self, items: Sequence[QueuedRow], tokens_per_s: float) -> None:
        """Refuse a call while there is no room for it. Its rows have one tenant and one priority.

        Raises Overloaded. Its time to retry is the time that all admitted tokens take at `tokens_per_s`.
        """
        n_tokens, n_bytes = _tokens(items), _bytes(items)
        retry_after_s = self.n_tokens / tokens_per_s
        for holder in _holders(items[0]):
            if not self._has_room(holder, n_tokens):
                raise Overloaded(
                    f"got a call of {n_tokens} tokens behind {self._holder_tokens[holder]} of {_name(holder)}, "
                    f"which may hold at most {self._max_holder_tokens}",
                    hint="send it again when calls sent before it have been answered",
                    retry_after_s=retry_after_s,
                )
        if self.n_tokens + n_tokens > self._max_tokens:
            raise Overloaded(
                f"got a call of {n_tokens} tokens behind {self.n_tokens}, at most {self._max_tokens}",
                retry_after_s=retry_after_s,
            )
        if self.cache_bytes + n_bytes > self._max_cache_bytes:
            raise Overloaded(
                f"got a call that keeps {n_bytes} bytes of keys and values beside {self.cache_bytes}, "
                f"at most {self._max_cache_bytes}",
                retry_after_s=retry_after_s,
            )

    def add(self, item: QueuedRow) -> None:
        """Count an admitted row."""
        self._count(item, 1)

    def release(self, item: QueuedRow) -> None:
        """Stop counting a row that is done, expired or cancelled."""
        self._count(item, -1)

    def _has_room(self, holder: Holder, n_tokens: int) -> bool:
        held_tokens = self._holder_tokens[holder]
        return not held_tokens or held_tokens + n_tokens <= self._max_holder_tokens

    def _count(self, item: QueuedRow, sign: int) -> None:
        self.n_tokens += sign * item.most_tokens
        self.cache_bytes += sign * item.cache_bytes
        for holder in _holders(item):
            self._holder_tokens[holder] += sign * item.most_tokens
            if not self._holder_tokens[holder]:
                del self._holder_tokens[holder]


def _tokens(items: Sequence[QueuedRow]) -> int:
    return sum(item.most_tokens for item in items)


def _bytes(items: Sequence[QueuedRow]) -> int:
    return sum(item.cache_bytes for item in items)


def _holders(item: QueuedRow) -> tuple[Holder, ...]:
    """Return the holders that a row counts to."""
    tenant = ("tenant", item.tenant)
    return (tenant, ("priority", "batch")) if item.priority == "batch" else (tenant,)


def _name(holder: Holder) -> str:
    """Return how a message names a holder. It does not say the tenant: the caller knows its own."""
    return "the same tenant" if holder[0] == "tenant" else "all batch calls"


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

    def tokens_within(self, ms: float) -> int:
        """Return how many tokens a pass of `ms` milliseconds can hold, at least 1."""
        return max(1, int(self._mean_tokens + (ms - self._mean_ms) / self.ms_per_token))
