"""Calls on their way through a replica: what waits, what the scheduler sees of it, what is counted.

Data alone; `serve.scheduling.runner` moves it. Must not know threads' work, HTTP or Ray.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from serve.rows.row import Row, RowOutput


def running_future() -> Future[Any]:
    """Make a future that only its maker can end: who waits may go away, but cannot cancel it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(frozen=True, slots=True)
class CompletedCall:
    """What all rows of a call came to, in order.

    `queue_s` is from admission to the first pass that held a row, `infer_s` from there to the end of the last.
    """

    results: tuple[RowOutput, ...]
    queue_s: float
    infer_s: float


@dataclass(slots=True, eq=False)
class PendingCall:
    """A call on its way: the results of its rows as they come, by index, and how many are still out.

    `future` ends with all of them or with the error that ended the call; no caller can cancel it.
    """

    deadline_s: float
    priority: str
    tenant: str
    admitted_s: float
    n_left: int
    results: dict[int, RowOutput] = field(default_factory=dict)
    started_s: float | None = None
    future: Future[CompletedCall] = field(default_factory=running_future)


@dataclass(frozen=True, slots=True, eq=False)
class PendingRow:
    """One row of a call, as the scheduler sees it. `is_resumed`: it was in a pass before and is not done."""

    row: Row
    index: int
    pending_call: PendingCall
    n_tokens: int
    is_resumed: bool = False

    @property
    def most_tokens(self) -> int:
        """Tokens admission counts: those of the row, and all it may generate."""
        return self.row.most_tokens

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values it keeps between passes."""
        return self.row.cache_bytes

    @property
    def deadline_s(self) -> float:
        """The call's deadline, on the runner's clock."""
        return self.pending_call.deadline_s

    @property
    def priority(self) -> str:
        """The call's class."""
        return self.pending_call.priority

    @property
    def tenant(self) -> str:
        """Whose call it is."""
        return self.pending_call.tenant

    @property
    def key(self) -> object:
        """The call."""
        return self.pending_call


@dataclass(slots=True)
class Counts:
    """What a runner has done. Seconds are sums, of a pass on a lane its part of the cores.

    Calls count once, by how they ended, rows in their first pass.
    """

    n_answered: int = 0
    n_failed: int = 0
    n_expired: int = 0
    n_cancelled: int = 0
    n_rows: int = 0
    n_tokens: int = 0
    n_generated_tokens: int = 0
    n_batches: int = 0
    n_broken_passes: int = 0
    queue_s: float = 0.0
    infer_s: float = 0.0
    forward_s: float = 0.0
