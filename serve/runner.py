"""One thread that owns the engine: when free it pulls a batch, runs it, and gives each call its rows' answers.

The only place where threads meet the scheduler. No batch is formed ahead: forming one takes
microseconds, and a batch held ready would make a row that arrives next wait for two passes.
Must not know HTTP, the wire or Ray.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Condition, Thread

from serve.engine import Engine
from serve.generation import Step
from serve.rows import Row, RowResult, asked_index
from serve.scheduler import Batch, Scheduler
from serve.tickets import Answered, Counts, Item, Ticket, running_future
from shared.errors import DeadlineExceeded, GlossaError, Unavailable
from shared.log import log_event


class Runner:
    """Runs an engine on a thread of its own. All public methods may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler[Item],
        probe: Row,
        clock: Callable[[], float] = time.monotonic,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """`probe` is the row that `probe()` runs; `prepare` is called first on the thread."""
        self._engine = engine
        self._scheduler = scheduler
        self._probe_row = probe
        self._clock = clock
        self._prepare = prepare
        self._changed = Condition()
        self._probes: deque[Future[None]] = deque()
        self._is_draining = False
        self._succeeded_s = float("-inf")
        self._open: set[Ticket] = set()
        self.counts = Counts()
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def backlog_tokens(self) -> int:
        """Tokens admitted and not yet answered."""
        return self._scheduler.backlog_tokens

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values that admitted rows may keep."""
        return self._scheduler.cache_bytes

    @property
    def tokens_per_s(self) -> float:
        """Measured speed of forward passes."""
        return self._scheduler.tokens_per_s

    @property
    def is_draining(self) -> bool:
        """Whether new calls are refused."""
        return self._is_draining

    def submit(
        self, rows: Sequence[Row], *, deadline_s: float, priority: str, tenant: str, places: Sequence[int] | None = None
    ) -> Ticket:
        """Admit a call, or those of its rows that stand at `places` in it; results are in the order of `rows`.

        Raises Overloaded or TooLarge as the scheduler does, Unavailable when draining.
        """
        now_s = self._clock()
        ticket = Ticket(deadline_s, priority, tenant, now_s, len(rows))
        begun = [self._engine.begin(row) for row in rows]
        places = range(len(rows)) if places is None else places
        items = [Item(row, place, ticket, row.n_tokens) for place, row in zip(places, begun, strict=True)]
        with self._changed:
            if self._is_draining:
                raise _gone()
            self._scheduler.admit(items, now_s)
            self._open.add(ticket)
            self._changed.notify()
        return ticket

    def cancel(self, ticket: Ticket, reason: GlossaError) -> None:
        """End a call with `reason`: rows that wait never run, rows in a pass are dropped after it.

        Nothing happens to a call that has ended.
        """
        with self._changed:
            if ticket in self._open:
                self._scheduler.cancel(ticket)
                self._fail(ticket, reason)

    def is_fresh(self, seconds: float) -> bool:
        """Whether a pass succeeded within the last `seconds`."""
        return self._clock() - self._succeeded_s <= seconds

    def probe(self) -> Future[None]:
        """Run the probe row before the next batch; the future fails when the engine does."""
        future: Future[None] = running_future()
        with self._changed:
            if self._is_draining:
                future.set_exception(_gone())
            else:
                self._probes.append(future)
                self._changed.notify()
        return future

    def drain(self, timeout_s: float) -> bool:
        """Refuse new calls and wait until the admitted ones are answered; say whether all were."""
        with self._changed:
            self._is_draining = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._prepare()
            while self._work():
                pass
        finally:
            self._end()

    def _work(self) -> bool:
        """Run the next probe or batch, and keep no hold on its rows; False once drained."""
        work = self._next()
        if isinstance(work, Future):
            self._run_probe(work)
        elif work is not None:
            self._run_batch(work)
        return work is not None

    def _next(self) -> Future[None] | Batch[Item] | None:
        """Wait for the next probe or batch; None once drained."""
        with self._changed:
            while True:
                if self._probes:
                    return self._probes.popleft()
                batch = self._scheduler.next_batch(self._clock())
                for item in batch.expired:
                    self._fail(item.ticket, _late())
                if batch.items:
                    return batch
                if self._is_draining:
                    return None
                self._changed.wait()

    def _run_probe(self, future: Future[None]) -> None:
        result = self._forward([self._probe_row])[0]
        if isinstance(result, GlossaError):
            future.set_exception(result)
            return
        self._succeeded_s = self._clock()
        future.set_result(None)

    def _run_batch(self, batch: Batch[Item]) -> None:
        started_s = self._clock()
        for item in batch.items:
            if item.ticket.started_s is None:
                item.ticket.started_s = started_s
        n_broken = self.counts.n_broken_passes
        results = self._forward([item.row for item in batch.items])
        ended_s = self._clock()
        with self._changed:
            is_whole = self.counts.n_broken_passes == n_broken
            self._scheduler.done(batch, ended_s - started_s if is_whole else None)
            self._succeeded_s = ended_s if is_whole else self._succeeded_s
            self._count(batch, ended_s - started_s)
            steps = [self._deliver(*pair, ended_s) for pair in zip(batch.items, results, strict=True)]
            self._scheduler.reenter([item for item in steps if item is not None and item.ticket in self._open])

    def _forward(self, rows: list[Row]) -> list[RowResult]:
        """Run one pass. When the pass itself breaks, each half runs alone, so that a row that breaks it fails alone."""
        try:
            results = self._engine.forward(rows)
            if len(results) != len(rows):
                raise RuntimeError(f"got {len(results)} results for {len(rows)} rows")  # noqa: TRY301 - handled alike
        except Exception as error:  # noqa: BLE001 - whatever breaks a pass must not end the thread
            self.counts.n_broken_passes += 1
            log_event("pass-broken", level="error", error_type=type(error).__name__, n_rows=len(rows))
            if len(rows) == 1:
                return [GlossaError(f"the forward pass failed with {type(error).__name__}")]
            half = len(rows) // 2
            return self._forward(rows[:half]) + self._forward(rows[half:])
        return results

    def _count(self, batch: Batch[Item], seconds: float) -> None:
        self.counts.n_batches += 1
        self.counts.n_rows += sum(not item.came_back for item in batch.items)
        self.counts.n_tokens += batch.n_tokens
        self.counts.forward_s += seconds

    def _deliver(self, item: Item, result: RowResult, ended_s: float) -> Item | None:
        """Note a row's result; return the row as it is to pass again when it is not done."""
        ticket = item.ticket
        if ticket not in self._open:
            return None
        if isinstance(result, GlossaError):
            self._scheduler.cancel(ticket)
            self._fail(ticket, _of_row(item, result))
            return None
        self.counts.n_generated_tokens += isinstance(result, Step) or "ids" in result
        if isinstance(result, Step):
            return replace(item, row=result.row, n_tokens=result.n_tokens, came_back=True)
        ticket.results[item.index] = result
        ticket.n_left -= 1
        if ticket.n_left == 0:
            self._answer(ticket, ended_s)
        return None

    def _answer(self, ticket: Ticket, ended_s: float) -> None:
        started_s = ended_s if ticket.started_s is None else ticket.started_s
        queue_s, infer_s = started_s - ticket.admitted_s, ended_s - started_s
        self.counts.n_answered += 1
        self.counts.queue_s += queue_s
        self.counts.infer_s += infer_s
        self._open.remove(ticket)
        results = tuple(ticket.results[place] for place in sorted(ticket.results))
        ticket.future.set_result(Answered(results, queue_s, infer_s))

    def _fail(self, ticket: Ticket, error: GlossaError) -> None:
        if ticket not in self._open:
            return
        self._open.remove(ticket)
        if isinstance(error, DeadlineExceeded):
            self.counts.n_expired += 1
        elif isinstance(error, Unavailable):
            self.counts.n_cancelled += 1
        else:
            self.counts.n_failed += 1
        ticket.future.set_exception(error)

    def _end(self) -> None:
        """Leave nobody waiting when the thread ends, drained or by a fault of its own."""
        with self._changed:
            self._is_draining = True
            for ticket in tuple(self._open):
                self._fail(ticket, _gone())
            for future in self._probes:
                future.set_exception(_gone())
            self._probes.clear()


def _of_row(item: Item, error: GlossaError) -> GlossaError:
    """Return a row's error as its call's: it names the row."""
    said = f"row {asked_index(item.row, item.index)}: {error.message}"
    return type(error)(said, hint=error.hint, retry_after_s=error.retry_after_s)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the time of the request was over before its next forward pass, which was not run")


def _gone() -> Unavailable:
    return Unavailable("the replica is shutting down, expected another to take the call", retry_after_s=1.0)
