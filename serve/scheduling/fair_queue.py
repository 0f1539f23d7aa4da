"""The waiting rows of one priority: fair between tenants, short rows sooner, bounded waits.

Tenants are served by start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): the tenant that was served the
fewest tokens is next. Of a tenant's rows, the one that is due first is next. That is earliest deadline first (Liu and
Layland 1973), where a row is due when `slack_factor` times its own tokens have arrived after it. So the wait of a row
is in proportion to its size. Because tokens are counted and not seconds, what may go before a row is limited however
fast passes are. The deadline of a call, in seconds, plays no part here.
Must not know where token budgets come from, time or call keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar

from serve.scheduling.keyed_heap import KeyedHeap

MAX_SKIPPED_TENANTS = 8  # a pass takes no more rows once the next row of so many tenants was too large for it


class QueuedRow(Protocol):
    """What is scheduled: one row of a call. All rows of a call share its `key`.

    `deadline_s` is on the clock of `now_s`. `priority` is "interactive" or "batch".
    """

    @property
    def n_tokens(self) -> int:
        """Tokens that its next pass reads, at least 1."""
        ...

    @property
    def most_tokens(self) -> int:
        """Tokens that admission counts: `n_tokens`, or for a generating row all that it may come to."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Bytes that it keeps from admission until it is done."""
        ...

    @property
    def deadline_s(self) -> float:
        """The time after which the answer is of no use; infinity for none."""
        ...

    @property
    def priority(self) -> str:
        """Its priority."""
        ...

    @property
    def tenant(self) -> str:
        """The tenant who sent it."""
        ...

    @property
    def key(self) -> object:
        """The call it belongs to; hashable."""
        ...


T = TypeVar("T", bound=QueuedRow)


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """A row in a queue.

    `number` is its place in the order of arrival. It is due when its queue has counted `due_tokens` arrived tokens.
    `overtake_tokens_left` is set when a pass takes it: how many more tokens might have gone before it.
    """

    item: T
    number: int
    n_tokens: int
    is_resumed: bool = False
    due_tokens: float = 0.0
    overtake_tokens_left: int = 0


class _RowsByDue(Generic[T]):
    """The new rows of a tenant, or its resumed rows, by when they are due. Counts the tokens of rows that enter."""

    def __init__(self) -> None:
        self._arrived_tokens = 0
        self.rows = KeyedHeap[int, Entry[T]]()

    def enter(self, entry: Entry[T], slack_factor: float) -> None:
        """Add a row. It is due when `slack_factor` times its own tokens have entered after it."""
        self._arrived_tokens += entry.n_tokens
        entry.due_tokens = self._arrived_tokens + slack_factor * entry.n_tokens
        self.rows.put(entry.number, entry.due_tokens, entry)

    def overtake_tokens_left(self, entry: Entry[T]) -> int:
        """Return how many tokens may still enter after a row and go before it."""
        return int(max(0.0, entry.due_tokens - self._arrived_tokens))


class _Tenant(Generic[T]):
    """The waiting rows of one tenant, and the tokens that passes have served it.

    New and resumed rows share the tenant's passes by tokens: the kind that was served fewer goes next.
    `_resumed_lead_tokens` is how many more tokens resumed rows were served than new rows. When no row of a kind waits,
    that kind is not owed the tokens that the other one gets meanwhile. `next` is a row that did not fit a pass, and so
    goes next.
    """

    def __init__(self, name: str, served_tokens: int) -> None:
        self.name, self.served_tokens = name, served_tokens
        self._new, self._resumed = _RowsByDue[T](), _RowsByDue[T]()
        self._resumed_lead_tokens = 0
        self.next: Entry[T] | None = None

    def __len__(self) -> int:
        """Return the number of waiting rows."""
        return len(self._new.rows) + len(self._resumed.rows)

    def rows_with(self, entry: Entry[T]) -> _RowsByDue[T]:
        """Return the rows of the same kind as `entry`: new or resumed."""
        return self._resumed if entry.is_resumed else self._new

    def rows(self) -> Iterator[Entry[T]]:
        """Yield all waiting rows."""
        return chain(self._new.rows.values(), self._resumed.rows.values())

    def first(self) -> Entry[T]:
        """Return the row that goes next: `next`, or the first due of the kind that was served fewer tokens."""
        if self.next is not None:
            return self.next
        is_resumed_next = len(self._resumed.rows) and (not len(self._new.rows) or self._resumed_lead_tokens <= 0)
        return (self._resumed if is_resumed_next else self._new).rows.first()

    def count(self, entry: Entry[T]) -> None:
        """Count a row that goes into a pass."""
        self.served_tokens += entry.n_tokens
        self._resumed_lead_tokens += entry.n_tokens if entry.is_resumed else -entry.n_tokens

    def remove(self, entry: Entry[T]) -> None:
        """Remove a row."""
        self.rows_with(entry).rows.remove(entry.number)
        self.next = None if self.next is entry else self.next
        if not len(self._resumed.rows):
            self._resumed_lead_tokens = max(self._resumed_lead_tokens, 0)
        if not len(self._new.rows):
            self._resumed_lead_tokens = min(self._resumed_lead_tokens, 0)


class FairQueue(Generic[T]):
    """The waiting rows of one priority.

    The tenant that was served the fewest tokens goes next, with its row that is due first. A new tenant starts with the
    count of the tenant that was served most. So a tenant is not owed passes for the time in which it sent nothing, and
    many new tenants do not keep an old one waiting. Two waiting tenants never differ by more than the tokens of one
    pass and one row: a tenant that is so far ahead fills no pass. An operation on a row costs O(log rows), a sum
    O(tenants), `longest_tokens` O(rows).
    """

    def __init__(self, slack_factor: float) -> None:
        """Let later rows go before a row while they hold fewer than `slack_factor` times its tokens."""
        self._slack_factor = slack_factor
        self._tenants = KeyedHeap[str, _Tenant[T]]()
        self._most_served_tokens = 0  # of any tenant, ever
        self._n_rows = self._n_new = 0
        self._waiting_tokens = Counter[str]()  # by tenant

    def __len__(self) -> int:
        """Return the number of waiting rows."""
        return self._n_rows

    @property
    def least_tokens(self) -> int:
        """Tokens of the waiting tenant with the shortest queue; 0 when none waits."""
        return min(self._waiting_tokens.values(), default=0)

    @property
    def has_new(self) -> bool:
        """Whether a row waits for its first pass."""
        return self._n_new > 0

    @property
    def n_tokens(self) -> int:
        """Tokens of all waiting rows."""
        return self._waiting_tokens.total()

    @property
    def longest_tokens(self) -> int:
        """Tokens of the longest waiting row; 0 when none waits."""
        rows = (entry for tenant in self._tenants.values() for entry in tenant.rows())
        return max((entry.n_tokens for entry in rows), default=0)

    def push(self, entry: Entry[T]) -> None:
        """Add a row."""
        name = entry.item.tenant
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = _Tenant(name, self._most_served_tokens)
            self._put(tenant)
        tenant.rows_with(entry).enter(entry, self._slack_factor)
        self._n_rows += 1
        self._n_new += not entry.is_resumed
        self._waiting_tokens[name] += entry.n_tokens

    def remove(self, entry: Entry[T]) -> None:
        """Remove a waiting row."""
        tenant = self._tenant_of(entry)
        tenant.remove(entry)
        self._n_rows -= 1
        self._n_new -= not entry.is_resumed
        self._waiting_tokens[tenant.name] -= entry.n_tokens
        if not len(tenant):
            self._tenants.remove(tenant.name)
            del self._waiting_tokens[tenant.name]

    def take(self, budget_tokens: int, *, leads: bool) -> list[Entry[T]]:
        """Take the rows that go next, up to `budget_tokens`. No row of a tenant goes before one that does not fit.

        `leads`: rows of this priority lead the pass. Then the very next row goes whatever its size. And the first row
        that does not fit is the next row of its tenant, whatever arrives later.
        """
        taken: list[Entry[T]] = []
        skipped: list[_Tenant[T]] = []
        left_tokens = budget_tokens
        while len(self._tenants) and left_tokens > 0:
            tenant = self._tenants.first()
            is_ahead = bool(skipped) and tenant.served_tokens > skipped[0].served_tokens + budget_tokens
            if len(skipped) == MAX_SKIPPED_TENANTS or is_ahead:
                break
            entry = tenant.first()
            if entry.n_tokens <= left_tokens or (leads and not taken):
                self._take_row(tenant, entry)
                taken.append(entry)
                left_tokens -= entry.n_tokens
            else:
                tenant.next = entry if leads and not skipped else tenant.next
                skipped.append(self._tenants.remove(tenant.name))
        for tenant in skipped:
            self._put(tenant)
        return taken

    def _take_row(self, tenant: _Tenant[T], entry: Entry[T]) -> None:
        """Remove a row that goes into a pass, and count it."""
        entry.overtake_tokens_left = tenant.rows_with(entry).overtake_tokens_left(entry)
        tenant.count(entry)
        self._most_served_tokens = max(self._most_served_tokens, tenant.served_tokens)
        self._put(tenant)
        self.remove(entry)

    def _tenant_of(self, entry: Entry[T]) -> _Tenant[T]:
        tenant = self._tenants.get(entry.item.tenant)
        if tenant is None:
            raise KeyError(f"got a row of tenant {entry.item.tenant!r}, which has none waiting. This is a bug.")
        return tenant

    def _put(self, tenant: _Tenant[T]) -> None:
        """Put a tenant where its served tokens say."""
        self._tenants.put(tenant.name, tenant.served_tokens, tenant)
