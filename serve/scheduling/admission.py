"""What a scheduler has admitted and not done: tokens by holder, and bytes of keys and values.

Says whether a call fits and how to refuse one that does not. Must not know queues, passes or clocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from serve.scheduling.fair_queue import QueuedRow
from shared.errors import Overloaded, TooLarge


class Admission:
    """Bounds by tokens and cache bytes over all, and by `max_share` of the tokens for each holder.

    A holder (a tenant, all batch rows together) that holds nothing may come with any call that fits.
    """

    def __init__(self, max_tokens: int, max_cache_bytes: int, max_share: float) -> None:
        self._max_tokens = max_tokens
        self._max_cache_bytes = max_cache_bytes
        self._share_tokens = int(max_share * max_tokens)
        self._tokens_of: Counter[tuple[str, str]] = Counter()
        self.n_tokens = 0
        self.cache_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held by anyone."""
        return not (self.n_tokens or self.cache_bytes or self._tokens_of)

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
        """Refuse a call (rows of one tenant and class) while there is no room. Raises Overloaded with when to retry."""
        n_tokens, n_bytes = _tokens(items), _bytes(items)
        retry_after_s = self.n_tokens / tokens_per_s
        for holder in _holders(items[0]):
            if not self._fits(holder, n_tokens):
                raise Overloaded(
                    f"got a call of {n_tokens} tokens behind {self._tokens_of[holder]} of {_name(holder)}, "
                    f"which may hold at most {self._share_tokens}",
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

    def hold(self, item: QueuedRow) -> None:
        """Count an item."""
        self._add(item, 1)

    def release(self, item: QueuedRow) -> None:
        """Count an item no longer."""
        self._add(item, -1)

    def _fits(self, holder: tuple[str, str], n_tokens: int) -> bool:
        held_tokens = self._tokens_of[holder]
        return not held_tokens or held_tokens + n_tokens <= self._share_tokens

    def _add(self, item: QueuedRow, sign: int) -> None:
        self.n_tokens += sign * item.most_tokens
        self.cache_bytes += sign * item.cache_bytes
        for holder in _holders(item):
            self._tokens_of[holder] += sign * item.most_tokens
            if not self._tokens_of[holder]:
                del self._tokens_of[holder]


def _tokens(items: Sequence[QueuedRow]) -> int:
    return sum(item.most_tokens for item in items)


def _bytes(items: Sequence[QueuedRow]) -> int:
    return sum(item.cache_bytes for item in items)


def _holders(item: QueuedRow) -> tuple[tuple[str, str], ...]:
    """Return whose part of the backlog an item counts to."""
    tenant = ("tenant", item.tenant)
    return (tenant, ("priority", "batch")) if item.priority == "batch" else (tenant,)


def _name(holder: tuple[str, str]) -> str:
    """Return a holder as a message names it: the caller knows its own tenant."""
    return "the same tenant" if holder[0] == "tenant" else "all batch calls"
