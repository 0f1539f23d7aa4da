"""The rows of one priority class: fair between tenants, near lengths together, bounded waits.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) moves rows from the tenants' queues
into a window; batches are taken from the window. Must not know budgets' reasons, clocks or keys.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    """What is scheduled: one row of a call. All rows of a call share its `key`.

    `deadline_s` is on the clock of `now_s`; `priority` is "interactive" or "batch".
    """

    @property
    def n_tokens(self) -> int:
        """Tokens of the row, at least 1."""
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
    """An item in a queue: its place in the order of admission, and where it stands."""

    item: T
    number: int
    n_tokens: int
    is_waiting: bool = True
    staged_at_pass: int | None = None


@dataclass(slots=True, eq=False)
class _Turn(Generic[T]):
    """One tenant's rows in order, and the tokens it may still move in this round."""

    deficit_tokens: int
    rows: OrderedDict[int, Entry[T]] = field(default_factory=OrderedDict)


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
        self._n_rows = 0

    def __len__(self) -> int:
        """Return the number of waiting rows."""
        return self._n_rows

    def push(self, entry: Entry[T]) -> None:
        """Add a row behind its tenant's; a tenant without rows joins the end of the round."""
        turn = self._turns.get(entry.item.tenant)
        if turn is None:
            turn = self._turns[entry.item.tenant] = _Turn(self._quantum_tokens)
        turn.rows[entry.number] = entry
        self._n_rows += 1

    def remove(self, entry: Entry[T]) -> None:
        """Take a waiting row out, wherever it stands."""
        if entry.staged_at_pass is None:
            self._unqueue(entry)
        else:
            del self._window[entry.number]
            self._window_tokens -= entry.n_tokens
        entry.is_waiting = False
        self._n_rows -= 1

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
        for entry in sorted(rows[len(taken) :], key=lambda row: abs(row.n_tokens - near)):  # stable: oldest first
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
            entry = next(iter(turn.rows.values()))
            if entry.n_tokens > turn.deficit_tokens:
                turn.deficit_tokens += self._quantum_tokens
                self._turns.move_to_end(tenant)
                continue
            turn.deficit_tokens -= entry.n_tokens
            self._unqueue(entry)
            entry.staged_at_pass = self._n_passes
            self._window[entry.number] = entry
            self._window_tokens += entry.n_tokens

    def _unqueue(self, entry: Entry[T]) -> None:
        turn = self._turns[entry.item.tenant]
        del turn.rows[entry.number]
        if not turn.rows:
            del self._turns[entry.item.tenant]
