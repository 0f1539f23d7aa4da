"""Threads that own the engine: when free they pull a batch, run it, and give each call its rows' answers.

One thread runs passes on all cores. Where more waits than that is good for, lanes take over: threads of one core each
that pull batches of their own, one after the other, until there is too little for them (serve.engine.parallel_passes).
The only place where threads meet the scheduler. No batch is formed ahead: forming one takes
microseconds, and a batch held ready would make a row that arrives next wait for two passes.
Must not know HTTP, the wire or Ray.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from threading import Condition, RLock, Thread, current_thread

from serve.engine.engine import Engine
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult, Step, call_row_index
from serve.scheduling.core_schedule import CoreSchedule
from serve.scheduling.pending_calls import CompletedCall, Counts, PendingCall, PendingRow, running_future
from serve.scheduling.scheduler import Batch, Scheduler
from shared.errors import DeadlineExceeded, GlossaError, Unavailable
from shared.log import log_event


class Runner:
    """Runs an engine on threads of its own. All public methods may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler[PendingRow],
        probe: Row,
        clock: Callable[[], float] = time.monotonic,
        prepare: Callable[[int], None] = lambda _: None,
        n_cores: int = 1,
    ) -> None:
        """`probe` is the row that `probe()` runs; `prepare` is called first on each thread, with its number of cores.

        `n_cores` are for passes that all share; an engine with lanes has one thread more for each.
        """
        self._engine = engine
        self._scheduler = scheduler
        self._probe_row = probe
        self._clock = clock
        self._prepare = prepare
        self._lock = RLock()
        self._whole_turn, self._lane_turn = Condition(self._lock), Condition(self._lock)
        self._turns = CoreSchedule(engine.n_parallel, scheduler)
        self._probes: deque[Future[None]] = deque()
        self._began_s: dict[str, float] = {}  # passes that run, by the name of their thread
        self._is_draining = False
        self._succeeded_s = float("-inf")
        self._open: set[PendingCall] = set()
        self.counts = Counts()
        lanes = [f"lane-{number}" for number in range(engine.n_parallel)] if engine.n_parallel > 1 else []
        self._threads = [Thread(target=self._run, args=(1, True), name=name, daemon=True) for name in lanes]
        self._threads.append(Thread(target=self._run, args=(n_cores, False), name="engine", daemon=True))
        self._n_left = len(self._threads)
        for thread in self._threads:
            thread.start()

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
    ) -> PendingCall:
        """Admit a call, or those of its rows that stand at `places` in it; results are in the order of `rows`.

        Raises Overloaded or TooLarge as the scheduler does, Unavailable when draining.
        """
        now_s = self._clock()
        pending_call = PendingCall(deadline_s, priority, tenant, now_s, len(rows))
        begun = [self._engine.begin(row) for row in rows]
        places = range(len(rows)) if places is None else places
        items = [PendingRow(row, place, pending_call, row.n_tokens) for place, row in zip(places, begun, strict=True)]
        with self._lock:
            if self._is_draining:
                raise _gone()
            try:
                self._scheduler.admit(items, now_s)
                self._open.add(pending_call)
                self._turns.see(len(self._open), now_s)
            finally:
                self._wake()  # rows may have expired that decided whose turn it is
        return pending_call

    def cancel(self, pending_call: PendingCall, reason: GlossaError) -> None:
        """End a call with `reason`: rows that wait never run, rows in a pass are dropped after it.

        Nothing happens to a call that has ended.
        """
        with self._lock:
            if pending_call in self._open:
                self._scheduler.cancel(pending_call)
                self._fail(pending_call, reason)
                self._wake()  # what is left may be for others

    def is_fresh(self, seconds: float) -> bool:
        """Whether a pass succeeded within the last `seconds`."""
        return self._clock() - self._succeeded_s <= seconds

    def is_stuck(self, seconds: float) -> bool:
        """Whether a pass runs for longer than `seconds`: other lanes would answer probes all the same."""
        with self._lock:
            return any(self._clock() - began_s > seconds for began_s in self._began_s.values())

    def probe(self) -> Future[None]:
        """Run the probe row before the next batch; the future fails when the engine does."""
        future: Future[None] = running_future()
        with self._lock:
            if self._is_draining:
                future.set_exception(_gone())
            else:
                self._probes.append(future)
                self._wake()
        return future

    def drain(self, timeout_s: float) -> bool:
        """Refuse new calls and wait until the admitted ones are answered; say whether all were."""
        with self._lock:
            self._is_draining = True
            self._wake()
        ends_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, n_cores: int, is_single_core: bool) -> None:  # noqa: FBT001 - a thread's arguments
        """Work until drained."""
        is_drained = False
        try:
            self._prepare(n_cores)
            while self._work(is_single_core=is_single_core):
                pass
            is_drained = True
        finally:
            self._end(is_drained=is_drained)

    def _work(self, *, is_single_core: bool) -> bool:
        """Run the next probe or batch, and keep no hold on its rows; False once drained."""
        work = self._next(is_single_core=is_single_core)
        if work is None:
            return False
        try:
            if isinstance(work, Future):
                self._run_probe(work)
            else:
                self._run_batch(work)
        finally:
            with self._lock:
                del self._began_s[current_thread().name]
                self._turns.end(self._clock(), is_single_core=is_single_core)
                self._wake()
        return True

    def _next(self, *, is_single_core: bool) -> Future[None] | Batch[PendingRow] | None:
        """Wait for the next probe or batch; None once drained."""
        with self._lock:
            while True:
                may_start = self._turns.may_start(is_single_core=is_single_core)
                work = self._take(is_single_core=is_single_core) if may_start else None
                if work is not None:
                    self._turns.begin(is_single_core=is_single_core)
                    self._began_s[current_thread().name] = self._clock()
                    return work
                if self._is_draining and not (self._turns.n_running or self._scheduler):
                    return None
                (self._lane_turn if is_single_core else self._whole_turn).wait()

    def _take(self, *, is_single_core: bool) -> Future[None] | Batch[PendingRow] | None:
        if self._probes:
            return self._probes.popleft()
        shares = {"n_parallel": self._engine.n_parallel, "n_free": self._turns.n_free} if is_single_core else {}
        batch = self._scheduler.next_batch(self._clock(), **shares)
        for item in batch.expired:
            self._fail(item.pending_call, _late())
        return batch if batch.items else None

    def _wake(self) -> None:
        """Let those threads look for work that may have some."""
        if self._is_draining or self._turns.may_start(is_single_core=True):
            self._lane_turn.notify_all()
        if self._is_draining or self._turns.may_start(is_single_core=False):
            self._whole_turn.notify_all()

    def _run_probe(self, future: Future[None]) -> None:
        passes: list[bool] = []
        result = self._forward([self._probe_row], passes)[0]
        with self._lock:
            self.counts.n_broken_passes += passes.count(False)
        if isinstance(result, GlossaError):
            future.set_exception(result)
            return
        self._succeeded_s = self._clock()
        future.set_result(None)

    def _run_batch(self, batch: Batch[PendingRow]) -> float:
        """Run a batch and give its rows their answers; return its seconds, without those of the batches it let in."""
        started_s = self._clock()
        for item in batch.items:
            if item.pending_call.started_s is None:
                item.pending_call.started_s = started_s
        passes: list[bool] = []
        interleaved = _Guests()
        between = partial(self._let_in, batch, interleaved) if batch.interleaved_tokens else None
        results = self._forward([item.row for item in batch.items], passes, between)
        if interleaved.error is not None:
            raise interleaved.error
        ended_s = self._clock()
        seconds = ended_s - started_s - interleaved.seconds
        with self._lock:
            is_whole = all(passes)
            self._scheduler.done(batch, seconds if is_whole else None)
            self._succeeded_s = ended_s if is_whole else self._succeeded_s
            self._count(batch, seconds)
            self.counts.n_broken_passes += passes.count(False)
            steps = [self._deliver(*pair, ended_s) for pair in zip(batch.items, results, strict=True)]
            self._scheduler.reenter([item for item in steps if item is not None and item.pending_call in self._open])
        return seconds

    def _let_in(self, host: Batch[PendingRow], interleaved: _Guests) -> None:
        """Run what waits and is short between two layers of a long pass, as far as that lets it.

        A probe that waits is not kept waiting longer.
        """
        now_s = self._clock()
        try:
            with self._lock:
                self._began_s[current_thread().name] = now_s  # a pass that gets on is not stuck
                if self._probes:
                    return
                batch = self._scheduler.next_between(host, now_s)
                for item in batch.expired:
                    self._fail(item.pending_call, _late())
            if batch.items:
                interleaved.seconds += self._run_batch(batch)
                with self._lock:
                    self._wake()  # rows may have come back that are for other lanes
        except Exception as error:
            interleaved.error = error  # our own fault, not the host's, whose pass would be taken for broken
            raise

    def _forward(self, rows: list[Row], passes: list[bool], between: Between | None = None) -> list[RowResult]:
        """Run one pass, and note in `passes` whether it was whole.

        When the pass itself breaks, each half runs alone, so that a row that breaks it fails alone.
        """
        try:
            results = self._engine.forward(rows, between)
            if len(results) != len(rows):
                raise RuntimeError(f"got {len(results)} results for {len(rows)} rows")  # noqa: TRY301 - handled alike
        except Exception as error:  # noqa: BLE001 - whatever breaks a pass must not end the thread
            passes.append(False)
            log_event("pass-broken", level="error", error_type=type(error).__name__, n_rows=len(rows))
            if len(rows) == 1:
                return [GlossaError(f"the forward pass failed with {type(error).__name__}")]
            half = len(rows) // 2
            return self._forward(rows[:half], passes) + self._forward(rows[half:], passes)
        passes.append(True)
        return results

    def _count(self, batch: Batch[PendingRow], seconds: float) -> None:
        self.counts.n_batches += 1
        self.counts.n_rows += sum(not item.is_resumed for item in batch.items)
        self.counts.n_tokens += batch.n_tokens
        self.counts.forward_s += seconds / batch.n_parallel  # lanes that run side by side share a second

    def _deliver(self, item: PendingRow, result: RowResult, ended_s: float) -> PendingRow | None:
        """Note a row's result; return the row as it is to pass again when it is not done."""
        pending_call = item.pending_call
        if pending_call not in self._open:
            return None
        if isinstance(result, GlossaError):
            self._scheduler.cancel(pending_call)
            self._fail(pending_call, _of_row(item, result))
            return None
        self.counts.n_generated_tokens += isinstance(result, Step) or "ids" in result
        if isinstance(result, Step):
            return replace(item, row=result.row, n_tokens=result.n_tokens, is_resumed=True)
        pending_call.results[item.index] = result
        pending_call.n_left -= 1
        if pending_call.n_left == 0:
            self._answer(pending_call, ended_s)
        return None

    def _answer(self, pending_call: PendingCall, ended_s: float) -> None:
        started_s = ended_s if pending_call.started_s is None else pending_call.started_s
        queue_s, infer_s = started_s - pending_call.admitted_s, ended_s - started_s
        self.counts.n_answered += 1
        self.counts.queue_s += queue_s
        self.counts.infer_s += infer_s
        self._open.remove(pending_call)
        results = tuple(pending_call.results[place] for place in sorted(pending_call.results))
        pending_call.future.set_result(CompletedCall(results, queue_s, infer_s))

    def _fail(self, pending_call: PendingCall, error: GlossaError) -> None:
        if pending_call not in self._open:
            return
        self._open.remove(pending_call)
        if isinstance(error, DeadlineExceeded):
            self.counts.n_expired += 1
        elif isinstance(error, Unavailable):
            self.counts.n_cancelled += 1
        else:
            self.counts.n_failed += 1
        pending_call.future.set_exception(error)

    def _end(self, *, is_drained: bool) -> None:
        """Leave nobody waiting when the last thread ends, or one by a fault of its own."""
        with self._lock:
            self._n_left -= 1
            self._is_draining = True
            if not is_drained or not self._n_left:
                open_still = tuple(self._open)
                for pending_call in open_still:
                    self._fail(pending_call, _gone())
                for future in self._probes:
                    future.set_exception(_gone())
                self._probes.clear()
                self._wake()
                for pending_call in open_still if self._n_left else ():
                    self._scheduler.cancel(pending_call)  # the other threads find nothing then, and end
            self._wake()


@dataclass(slots=True)
class _Guests:
    """What the batches let in between the layers of another took, and the fault that one ended with."""

    seconds: float = 0.0
    error: Exception | None = None


def _of_row(item: PendingRow, error: GlossaError) -> GlossaError:
    """Return a row's error as its call's: it names the row."""
    said = f"row {call_row_index(item.row, item.index)}: {error.message}"
    return type(error)(said, hint=error.hint, retry_after_s=error.retry_after_s)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the time of the request was over before its next forward pass")  # its door says more


def _gone() -> Unavailable:
    return Unavailable("the replica is shutting down, expected another to take the call", retry_after_s=1.0)
