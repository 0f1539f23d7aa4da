"""Decides whether a call is admitted. Counts the tokens of what is admitted and not done, and its key and value bytes.

A call that can never fit is refused with TooLarge (413), a call that does not fit now with Overloaded (429).
Must not know queues, passes or clocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from serve.scheduling.fair_queue import QueuedRow
from shared.errors import Overloaded, TooLarge

Holder = tuple[str, str]  # ("tenant", its name), or ("priority", "batch") for all rows of class batch together


class Admission:
    """Limits the tokens and cache bytes of all admitted rows, and the tokens of each holder.

    Each holder gets at most `max_share` of the tokens. A holder is a tenant, or all rows of class batch
    together. A holder that holds nothing may send any call that fits.
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
        """Refuse a call while there is no room for it. Its rows have one tenant and one priority class.

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
