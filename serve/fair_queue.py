"""The rows of one priority class: fair between tenants, near lengths together, bounded waits.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) moves rows from the tenants' queues
into a window; batches are taken from the window. Must not know budgets' reasons, clocks or keys.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
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


T = TypeVar("T", bound=Item)


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """An item in a queue: its place in the order of arrival, and where it stands."""

    item: T
    number: int
    n_tokens: int
    came_back: bool = False
    staged_at_pass: int | None = None


@dataclass(slots=True, eq=False)
class _Turn(Generic[T]):
    """One tenant's rows in order, new ones and those that came back, and the tokens it may still move in this round.

    `lead_tokens` is by how much those that came back have moved more than the new ones; the side with the
    smaller part goes first, and a side without rows gathers no claim.
    """

    deficit_tokens: int
    new: OrderedDict[int, Entry[T]] = field(default_factory=OrderedDict)
    back: OrderedDict[int, Entry[T]] = field(default_factory=OrderedDict)
    lead_tokens: int = 0

    def push(self, entry: Entry[T]) -> None:
        """Add a row behind those of its side."""
        (self.back if entry.came_back else self.new)[entry.number] = entry

    def first(self) -> Entry[T]:
        """Return the row that moves next: of the side that has moved less."""
        side = self.back if self.back and (not self.new or self.lead_tokens <= 0) else self.new
        return next(iter(side.values()))

    def move(self, entry: Entry[T]) -> None:
        """Take out a row that moves on and count it."""
        self.deficit_tokens -= entry.n_tokens
        self.lead_tokens += entry.n_tokens if entry.came_back else -entry.n_tokens
        self.remove(entry)

    def remove(self, entry: Entry[T]) -> None:
        """Take out a row."""
        del (self.back if entry.came_back else self.new)[entry.number]
        if not self.back:
            self.lead_tokens = max(self.lead_tokens, 0)
        if not self.new:
            self.lead_tokens = min(self.lead_tokens, 0)


class FairQueue(Generic[T]):
    """Rows of one class. `push`, `remove` and each moved row cost O(1); `take` O(window log window).

    A row in the window is passed over at most `max_passed` times by passes this class leads;
    then it is due, and due rows go first, oldest first.
    """

    def __init__(self, quantum_tokens: int, max_passed: int) -> None:
        self._quantum_tokens = quantum_tokens
        self._max_passed = max_passed
        self._turns: OrderedDict[str, _Turn[T]] = OrderedDict()
        self._window: OrderedDict[int, Entry[T]] = OrderedDict()
        self._window_tokens = 0
        self._n_passes = 0
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
        """Tokens of the longest waiting row, 0 when none waits; costs O(rows)."""
        staged = (entry.n_tokens for entry in self._window.values())
        sides = (side for turn in self._turns.values() for side in (turn.new, turn.back))
        return max(chain(staged, (entry.n_tokens for side in sides for entry in side.values())), default=0)

    def push(self, entry: Entry[T]) -> None:
        """Add a row behind its tenant's; a tenant without rows joins the end of the round."""
        turn = self._turns.get(entry.item.tenant)
        if turn is None:
            turn = self._turns[entry.item.tenant] = _Turn(self._quantum_tokens)
        turn.push(entry)
        self._n_rows += 1
        self._n_new += not entry.came_back
        self._held[entry.item.tenant] += entry.n_tokens

    def remove(self, entry: Entry[T]) -> None:
        """Take a waiting row out, wherever it stands."""
        if entry.staged_at_pass is None:
            self._turns[entry.item.tenant].remove(entry)
            self._end_turn(entry.item.tenant)
        else:
            del self._window[entry.number]
            self._window_tokens -= entry.n_tokens
        self._n_rows -= 1
        self._n_new -= not entry.came_back
        self._held[entry.item.tenant] -= entry.n_tokens
        if not self._held[entry.item.tenant]:
            del self._held[entry.item.tenant]

    def take(self, budget_tokens: int, window_tokens: int, near_tokens: int | None = None) -> list[Entry[T]]:
        """Take rows of at most `budget_tokens` out of a window of about `window_tokens`.

        With `near_tokens` None this class leads the pass: its oldest row goes whatever its size,
        and lengths near that row's follow. Else lengths near `near_tokens` go, as far as they fit.
        """
        self._stage(window_tokens)
        rows = list(self._window.values())
        if not rows:
            return []
        is_lead = near_tokens is None
        taken = self._first(rows, budget_tokens, is_lead=is_lead)
        left_tokens = budget_tokens - sum(entry.n_tokens for entry in taken)
        near = rows[0].n_tokens if near_tokens is None else near_tokens
        by_nearness = sorted(rows[len(taken) :], key=lambda row: 0 if row.came_back else abs(row.n_tokens - near))
        for entry in by_nearness:  # stable: oldest first
            if entry.n_tokens <= left_tokens:
                taken.append(entry)
                left_tokens -= entry.n_tokens
        for entry in taken:
            self.remove(entry)
        self._n_passes += is_lead
        return taken

    def _first(self, rows: list[Entry[T]], budget_tokens: int, *, is_lead: bool) -> list[Entry[T]]:
        """Return the rows that go before any choice: due ones as far as they fit, the oldest when leading."""
        taken = rows[:1] if is_lead else []
        left_tokens = budget_tokens - sum(entry.n_tokens for entry in taken)
        for entry in rows[len(taken) :]:
            if not self._is_due(entry) or entry.n_tokens > left_tokens:
                break
            taken.append(entry)
            left_tokens -= entry.n_tokens
        return taken

    def _is_due(self, entry: Entry[T]) -> bool:
        return entry.staged_at_pass is not None and self._n_passes - entry.staged_at_pass >= self._max_passed

    def _stage(self, window_tokens: int) -> None:
        """Move rows into the window in the order of the round until it holds `window_tokens`."""
        while self._window_tokens < window_tokens and self._turns:
            tenant, turn = next(iter(self._turns.items()))
            entry = turn.first()
            if entry.n_tokens > turn.deficit_tokens:
                turn.deficit_tokens += self._quantum_tokens
                self._turns.move_to_end(tenant)
                continue
            turn.move(entry)
            self._end_turn(tenant)
            entry.staged_at_pass = self._n_passes
            self._window[entry.number] = entry
            self._window_tokens += entry.n_tokens

    def _end_turn(self, tenant: str) -> None:
        """Forget a tenant without rows."""
        turn = self._turns[tenant]
        if not turn.new and not turn.back:
            del self._turns[tenant]
