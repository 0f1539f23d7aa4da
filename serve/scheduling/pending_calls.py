"""Calls that wait for their answer: each call, its rows as the scheduler sees them, and all open calls.

`OpenCalls` delivers results to calls, completes them and fails them. Must not know threads, HTTP or Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from serve.rows.row import Row, RowOutput, RowResult, Step, call_row_index
from serve.scheduling.batch import Batch
from serve.scheduling.scheduler import Scheduler
from shared.errors import DeadlineExceeded, GlossaError, Unavailable


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
        """The call's priority."""
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


class OpenCalls:
    """The open calls of one scheduler, and `counts` of all that was done."""

    def __init__(self, scheduler: Scheduler[PendingRow]) -> None:
        self.counts = Counts()
        self._scheduler = scheduler
        self._calls: set[PendingCall] = set()

    def __len__(self) -> int:
        """Return the number of open calls."""
        return len(self._calls)

    def __contains__(self, pending_call: PendingCall) -> bool:
        """Say whether a call is open."""
        return pending_call in self._calls

    def add(self, pending_call: PendingCall) -> None:
        """Add a call that the scheduler has admitted."""
        self._calls.add(pending_call)

    def deliver(self, batch: Batch[PendingRow], results: Sequence[RowResult], ended_s: float) -> list[PendingRow]:
        """Give the calls of a batch the results of their rows. Return the rows that need another pass.

        A call that got all its results ends with them. A call of which one row failed ends with that error.
        """
        unfinished = [self._deliver_row(*pair, ended_s) for pair in zip(batch.items, results, strict=True)]
        return [row for row in unfinished if row is not None and row.pending_call in self._calls]

    def count_pass(self, batch: Batch[PendingRow], seconds: float, *, n_broken: int) -> None:
        """Count a batch that took `seconds`. A row that passes again is not counted again."""
        self.counts.n_batches += 1
        self.counts.n_rows += sum(not item.is_resumed for item in batch.items)
        self.counts.n_tokens += batch.n_tokens
        self.counts.forward_s += seconds / batch.n_parallel  # parallel passes share each second
        self.counts.n_broken_passes += n_broken

    def expire(self, rows: Iterable[PendingRow]) -> None:
        """End the calls of rows whose deadline passed before a forward pass took them."""
        for row in rows:
            self.fail(row.pending_call, deadline_passed())

    def cancel(self, pending_call: PendingCall, error: GlossaError) -> None:
        """End a call with `error`, and take its waiting rows out of the scheduler. Does nothing to an ended call."""
        if pending_call in self._calls:
            self._scheduler.cancel(pending_call)
            self.fail(pending_call, error)

    def fail(self, pending_call: PendingCall, error: GlossaError) -> None:
        """End a call with `error`. Does nothing to an ended call."""
        if pending_call not in self._calls:
            return
        self._calls.remove(pending_call)
        if isinstance(error, DeadlineExceeded):
            self.counts.n_expired += 1
        elif isinstance(error, Unavailable):
            self.counts.n_cancelled += 1
        else:
            self.counts.n_failed += 1
        pending_call.future.set_exception(error)

    def fail_all(self) -> tuple[PendingCall, ...]:
        """End all open calls, because the runner shuts down. Return them."""
        calls = tuple(self._calls)
        for pending_call in calls:
            self.fail(pending_call, shutting_down())
        return calls

    def _deliver_row(self, item: PendingRow, result: RowResult, ended_s: float) -> PendingRow | None:
        """Give a call the result of one row. Return the row for its next pass when it is not finished."""
        pending_call = item.pending_call
        if pending_call not in self._calls:
            return None
        if isinstance(result, GlossaError):
            self.cancel(pending_call, _naming_row(item, result))
            return None
        self.counts.n_generated_tokens += isinstance(result, Step) or "ids" in result
        if isinstance(result, Step):
            return replace(item, row=result.row, n_tokens=result.n_tokens, is_resumed=True)
        pending_call.results[item.index] = result
        pending_call.n_left -= 1
        if pending_call.n_left == 0:
            self._complete(pending_call, ended_s)
        return None

    def _complete(self, pending_call: PendingCall, ended_s: float) -> None:
        """End a call with the results of all its rows."""
        started_s = ended_s if pending_call.started_s is None else pending_call.started_s
        queue_s, infer_s = started_s - pending_call.admitted_s, ended_s - started_s
        self.counts.n_answered += 1
        self.counts.queue_s += queue_s
        self.counts.infer_s += infer_s
        self._calls.remove(pending_call)
        results = tuple(pending_call.results[index] for index in sorted(pending_call.results))
        pending_call.future.set_result(CompletedCall(results, queue_s, infer_s))


def deadline_passed() -> DeadlineExceeded:
    """Return the error of a call whose deadline passed while it waited. The replica replaces its message."""
    return DeadlineExceeded("the time of the request was over before its next forward pass")


def shutting_down() -> Unavailable:
    """Return the error of a call that a draining or failed runner cannot answer."""
    return Unavailable("the replica is shutting down, expected another to take the call", retry_after_s=1.0)


def _naming_row(item: PendingRow, error: GlossaError) -> GlossaError:
    """Return the error of a row as the error of its call. The message names the row."""
    message = f"row {call_row_index(item.row, item.index)}: {error.message}"
    return type(error)(message, hint=error.hint, retry_after_s=error.retry_after_s)
