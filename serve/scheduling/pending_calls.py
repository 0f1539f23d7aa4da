"""The values that pass through a runner: a call that waits, its rows as the scheduler sees them, and what is counted.

Data alone; serve.scheduling.runner changes it. Must not know threads, HTTP or Ray.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from serve.rows.row import Row, RowOutput


def running_future() -> Future[Any]:
    """Make a future that only its maker can end. A waiter may stop waiting, but cannot cancel it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(frozen=True, slots=True)
class CompletedCall:
    """The outputs of all rows of a call, in order.

    `queue_s` is the time from admission to the first pass that had a row of the call. `infer_s` is the time from there
    to the end of the last such pass.
    """

    results: tuple[RowOutput, ...]
    queue_s: float
    infer_s: float


@dataclass(slots=True, eq=False)
class PendingCall:
    """An admitted call: the outputs it has got so far, by the index of the row, and the number of rows still out.

    `future` ends with all outputs, or with the error that ended the call. No caller can cancel it.
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
    """One row of a call, as the scheduler sees it. With `is_resumed` it was in a pass before and is not finished."""

    row: Row
    index: int
    pending_call: PendingCall
    n_tokens: int
    is_resumed: bool = False

    @property
    def most_tokens(self) -> int:
        """Tokens that admission counts: those of the row, and all that it may generate."""
        return self.row.most_tokens

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values that it keeps between passes."""
        return self.row.cache_bytes

    @property
    def deadline_s(self) -> float:
        """The call's deadline, on the runner's clock."""
        return self.pending_call.deadline_s

    @property
    def priority(self) -> str:
        """The call's priority class."""
        return self.pending_call.priority

    @property
    def tenant(self) -> str:
        """The call's tenant."""
        return self.pending_call.tenant

    @property
    def key(self) -> object:
        """The call itself, as the key that all its rows share."""
        return self.pending_call


@dataclass(slots=True)
class Counts:
    """What a runner has done. All times are sums of seconds; one of `n` parallel passes adds one n-th of its time.

    A call counts once, by how it ended. A row counts once, in its first pass.
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
