"""The rows of one priority class: fair between tenants, short rows sooner, bounded waits.

Between tenants start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), where a pass is charged by its tokens.
Inside a tenant the earliest deadline first (Liu and Layland 1973), where a row's deadline is its arrival and some times
its own size, so that a row waits in proportion to what it asks for, on a clock of tokens that came: it counts what may
go before a row, whatever the speed. Must not know budgets' reasons, time or keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar

from serve.scheduling.keyed_heap import KeyedHeap

MOST_ASIDE = 8  # tenants whose next row does not fit a pass: others do not fill it either


class QueuedRow(Protocol):
    """What is scheduled: one row of a call. All rows of a call share its `key`.

    `deadline_s` is on the clock of `now_s`; `priority` is "interactive" or "batch".
    """

    @property
    def n_tokens(self) -> int:
        """Tokens its next pass reads, at least 1."""
        ...

    @property
    def most_tokens(self) -> int:
        """What admission counts: `n_tokens`, or all a row that comes back may come to."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Bytes it keeps from admission until it is done."""
        ...

    @property
    def deadline_s(self) -> float:
        """When the answer is of no use any more; infinity for never."""
        ...

    @property
    def priority(self) -> str:
        """The class of the row."""
        ...

    @property
    def tenant(self) -> str:
        """Whose row it is."""
        ...

    @property
    def key(self) -> object:
        """The call it belongs to; hashable."""
        ...


T = TypeVar("T", bound=QueuedRow)


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """An item in a queue: its place in the order of arrival, and when it is due on the clock of its side.

    `slack_tokens`, once it was taken: how much more might have gone before it.
    """

    item: T
    number: int
    n_tokens: int
    is_resumed: bool = False
    due_tokens: float = 0.0
    slack_tokens: int = 0


class _Side(Generic[T]):
    """Rows of a tenant that are new, or those that came back, by when they are due. Its clock counts their tokens."""

    def __init__(self) -> None:
        self._clock_tokens = 0
        self.rows = KeyedHeap[int, Entry[T]]()

    def enter(self, entry: Entry[T], slack: float) -> None:
        """Add a row, due when `slack` times its tokens have come after it."""
        self._clock_tokens += entry.n_tokens
        entry.due_tokens = self._clock_tokens + slack * entry.n_tokens
        self.rows.put(entry.number, entry.due_tokens, entry)

    def slack_tokens(self, entry: Entry[T]) -> int:
        """Return how many tokens might still come and go before a row."""
        return int(max(0.0, entry.due_tokens - self._clock_tokens))


class _Tenant(Generic[T]):
    """One tenant's waiting rows, new ones and those that came back, and the tokens it had in passes.

    `_lead_tokens` is by how much those that came back have had more than the new ones; the side with the
    smaller part goes first, and a side without rows gathers no claim. `next` is a row that did not fit its pass.
    """

    def __init__(self, name: str, had_tokens: int) -> None:
        self.name, self.had_tokens = name, had_tokens
        self._new, self._back = _Side[T](), _Side[T]()
        self._lead_tokens = 0
        self.next: Entry[T] | None = None

    def __len__(self) -> int:
        """Return the number of waiting rows."""
        return len(self._new.rows) + len(self._back.rows)

    def side_of(self, entry: Entry[T]) -> _Side[T]:
        """Return where a row stands."""
        return self._back if entry.is_resumed else self._new

    def rows(self) -> Iterator[Entry[T]]:
        """Yield all waiting rows."""
        return chain(self._new.rows.values(), self._back.rows.values())

    def first(self) -> Entry[T]:
        """Return the row that goes next: one that did not fit, or of the side that has had less the one due first."""
        if self.next is not None:
            return self.next
        goes_back = len(self._back.rows) and (not len(self._new.rows) or self._lead_tokens <= 0)
        return (self._back if goes_back else self._new).rows.first()

    def count(self, entry: Entry[T]) -> None:
        """Count a row that goes into a pass."""
        self.had_tokens += entry.n_tokens
        self._lead_tokens += entry.n_tokens if entry.is_resumed else -entry.n_tokens

    def remove(self, entry: Entry[T]) -> None:
        """Take out a row."""
        self.side_of(entry).rows.remove(entry.number)
        self.next = None if self.next is entry else self.next
        if not len(self._back.rows):
            self._lead_tokens = max(self._lead_tokens, 0)
        if not len(self._new.rows):
            self._lead_tokens = min(self._lead_tokens, 0)


class FairQueue(Generic[T]):
    """Rows of one class. An operation on a row costs O(log rows), a sum O(tenants), `longest_tokens` O(rows).

    The tenant that has had the fewest tokens goes next, and of its rows the one due first. A tenant that comes begins
    with what the one has had that had most: idle tenants gather no claim, nor do many new ones keep an old one waiting.
    Of those that wait none has had more than another by over a pass and a row: then its rows fill no pass.
    """

    def __init__(self, slack: float) -> None:
        """Let a row go after what comes later, as long as less than `slack` times its own tokens have come."""
        self._slack = slack
        self._tenants = KeyedHeap[str, _Tenant[T]]()
        self._most_had_tokens = 0  # of any tenant, ever
        self._n_rows = self._n_new = 0
        self._held = Counter[str]()  # tokens of each tenant's waiting rows

    def __len__(self) -> int:
        """Return the number of waiting rows."""
        return self._n_rows

    @property
    def least_tokens(self) -> int:
        """Tokens that the tenant with the fewest waits for; 0 when none waits."""
        return min(self._held.values(), default=0)

    @property
    def has_new(self) -> bool:
        """Whether a row waits that did not come back."""
        return self._n_new > 0

    @property
    def n_tokens(self) -> int:
        """Tokens of all waiting rows."""
        return self._held.total()

    @property
    def longest_tokens(self) -> int:
        """Tokens of the longest waiting row, 0 when none waits."""
        rows = (entry for tenant in self._tenants.values() for entry in tenant.rows())
        return max((entry.n_tokens for entry in rows), default=0)

    def push(self, entry: Entry[T]) -> None:
        """Add a row."""
        name = entry.item.tenant
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = _Tenant(name, self._most_had_tokens)
            self._place(tenant)
        tenant.side_of(entry).enter(entry, self._slack)
        self._n_rows += 1
        self._n_new += not entry.is_resumed
        self._held[name] += entry.n_tokens

    def remove(self, entry: Entry[T]) -> None:
        """Take a waiting row out."""
        tenant = self._of(entry)
        tenant.remove(entry)
        self._n_rows -= 1
        self._n_new -= not entry.is_resumed
        self._held[tenant.name] -= entry.n_tokens
        if not len(tenant):
            self._tenants.remove(tenant.name)
            del self._held[tenant.name]

    def take(self, budget_tokens: int, *, leads: bool) -> list[Entry[T]]:
        """Take the rows that go next, of at most `budget_tokens`; of a tenant none behind one that does not fit.

        Where this class leads the pass the very next row goes whatever its size, and the first one that does not fit
        is the next of its tenant, whatever comes.
        """
        taken: list[Entry[T]] = []
        aside: list[_Tenant[T]] = []
        left_tokens = budget_tokens
        while len(self._tenants) and left_tokens > 0:
            tenant = self._tenants.first()
            if len(aside) == MOST_ASIDE or (aside and tenant.had_tokens > aside[0].had_tokens + budget_tokens):
                break
            entry = tenant.first()
            if entry.n_tokens <= left_tokens or (leads and not taken):
                self._count(tenant, entry)
                taken.append(entry)
                left_tokens -= entry.n_tokens
            else:
                tenant.next = entry if leads and not aside else tenant.next
                aside.append(self._tenants.remove(tenant.name))
        for tenant in aside:
            self._place(tenant)
        return taken

    def _count(self, tenant: _Tenant[T], entry: Entry[T]) -> None:
        """Take a row into a pass."""
        entry.slack_tokens = tenant.side_of(entry).slack_tokens(entry)
        tenant.count(entry)
        self._most_had_tokens = max(self._most_had_tokens, tenant.had_tokens)
        self._place(tenant)
        self.remove(entry)

    def _of(self, entry: Entry[T]) -> _Tenant[T]:
        tenant = self._tenants.get(entry.item.tenant)
        if tenant is None:
            raise KeyError(f"got a row of tenant {entry.item.tenant!r}, which has none waiting. This is a bug.")
        return tenant

    def _place(self, tenant: _Tenant[T]) -> None:
        self._tenants.put(tenant.name, tenant.had_tokens, tenant)
