"""Runs an engine on threads of its own, and gives each call the results of its rows.

A free thread asks the scheduler for a batch, runs it and delivers the results. One thread runs passes that use all
cores. An engine with parallel passes has one more thread for each of them. Such a thread uses one core, and runs
batch after batch while enough rows wait (serve.engine.parallel_passes).
No batch is formed ahead. Forming one takes microseconds, and behind a batch that is ready, a new row would wait
for two passes. Threads meet the scheduler only here. Must not know HTTP, the wire or Ray.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Condition, RLock, Thread, current_thread

from serve.engine.engine import Engine, run_pass
from serve.engine.parallel_passes import CoreSchedule
from serve.rows.row import Row
from serve.scheduling.batch import Batch
from serve.scheduling.pending_calls import Counts, OpenCalls, PendingCall, PendingRow, running_future, shutting_down
from serve.scheduling.scheduler import Scheduler
from shared.errors import GlossaError

ALL_CORES_THREAD, SINGLE_CORE_THREAD = "engine", "core"  # names of threads; the second is followed by a number


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
        """Start the threads.

        `probe` is the row that `probe()` runs. Each thread first calls `prepare` with the number of cores it uses:
        `n_cores` for the thread of all cores, 1 for a thread of parallel passes.
        """
        self._engine = engine
        self._scheduler = scheduler
        self._probe_row = probe
        self._clock = clock
        self._prepare = prepare
        self._lock = RLock()
        self._all_cores_work, self._single_core_work = Condition(self._lock), Condition(self._lock)
        self._core_schedule = CoreSchedule(engine.n_parallel, scheduler)
        self._open_calls = OpenCalls(scheduler)
        self._probes: deque[Future[None]] = deque()
        self._began_s: dict[str, float] = {}  # when each running pass began, by the name of its thread
        self._is_draining = False
        self._succeeded_s = float("-inf")
        n_single_core = engine.n_parallel if engine.n_parallel > 1 else 0
        names = [f"{SINGLE_CORE_THREAD}-{number}" for number in range(n_single_core)]
        self._threads = [Thread(target=self._run_thread, args=(1, True), name=name, daemon=True) for name in names]
        self._threads.append(Thread(target=self._run_thread, args=(n_cores, False), name=ALL_CORES_THREAD, daemon=True))
        self._n_left = len(self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        return self._open_calls.counts

    @property
    def backlog_tokens(self) -> int:
        """Tokens admitted and not yet answered."""
        return self._scheduler.backlog_tokens

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of keys and values that admitted rows may keep."""
        return self._scheduler.kv_cache_bytes

    @property
    def tokens_per_s(self) -> float:
        """Measured speed of forward passes."""
        return self._scheduler.tokens_per_s

    @property
    def is_running(self) -> bool:
        """Whether a pass of rows runs. A probe is none."""
        return self._scheduler.is_running

    @property
    def is_draining(self) -> bool:
        """Whether new calls are refused."""
        return self._is_draining

    def submit(
        self, rows: Sequence[Row], *, deadline_s: float, priority: str, tenant: str, places: Sequence[int] | None = None
    ) -> PendingCall:
        """Admit rows of a call. Results come in the order of `rows`.

        `deadline_s` is on the runner's clock. `places` are the indices of the rows in their call, None for all rows.
        Raises Overloaded or TooLarge as the scheduler does, Unavailable when draining.
        """
        now_s = self._clock()
        pending_call = PendingCall(deadline_s, priority, tenant, now_s, len(rows))
        begun = [self._engine.begin(row) for row in rows]
        places = range(len(rows)) if places is None else places
        items = [PendingRow(row, place, pending_call, row.n_tokens) for place, row in zip(places, begun, strict=True)]
        with self._lock:
            if self._is_draining:
                raise shutting_down()
            try:
                self._scheduler.admit(items, now_s)
                self._open_calls.add(pending_call)
                self._core_schedule.note_open_calls(len(self._open_calls), now_s)
            finally:
                self._wake()  # rows may have expired, and with them the reason why another thread had to wait
        return pending_call

    def cancel(self, pending_call: PendingCall, reason: GlossaError) -> None:
        """End a call with `reason`. Its waiting rows never run, and results of its running rows are dropped.

        Does nothing to an ended call.
        """
        with self._lock:
            if pending_call in self._open_calls:
                self._open_calls.cancel(pending_call, reason)
                self._wake()  # another thread may be the one to run the rows that remain

    def is_fresh(self, seconds: float) -> bool:
        """Whether a pass succeeded within the last `seconds`."""
        return self._clock() - self._succeeded_s <= seconds

    def is_stuck(self, seconds: float) -> bool:
        """Whether a pass runs for longer than `seconds`. A probe cannot tell: another thread may still answer it."""
        with self._lock:
            return any(self._clock() - began_s > seconds for began_s in self._began_s.values())

    def probe(self) -> Future[None]:
        """Run the probe row before the next batch. The future fails when the engine fails."""
        future: Future[None] = running_future()
        with self._lock:
            if self._is_draining:
                future.set_exception(shutting_down())
            else:
                self._probes.append(future)
                self._wake()
        return future

    def drain(self, timeout_s: float) -> bool:
        """Refuse new calls and wait until the admitted ones are answered. Return whether all were."""
        with self._lock:
            self._is_draining = True
            self._wake()
        ends_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, ends_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run_thread(self, n_cores: int, is_single_core: bool) -> None:  # noqa: FBT001 - a thread's arguments
        """Work until drained. This is what each thread does."""
        is_drained = False
        try:
            self._prepare(n_cores)
            while self._do_next(is_single_core=is_single_core):
                pass
            is_drained = True
        finally:
            self._end_thread(is_drained=is_drained)

    def _do_next(self, *, is_single_core: bool) -> bool:
        """Run the next probe or batch; return False once drained. No reference to the rows outlives the call."""
        work = self._wait_for_work(is_single_core=is_single_core)
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
                self._core_schedule.end(self._clock(), is_single_core=is_single_core)
                self._wake()
        return True

    def _wait_for_work(self, *, is_single_core: bool) -> Future[None] | Batch[PendingRow] | None:
        """Wait for the next probe or batch; return None once drained."""
        with self._lock:
            while True:
                may_start = self._core_schedule.may_start(is_single_core=is_single_core)
                work = self._pop_work(is_single_core=is_single_core) if may_start else None
                if work is not None:
                    self._core_schedule.begin(is_single_core=is_single_core)
                    self._began_s[current_thread().name] = self._clock()
                    return work
                if self._is_draining and not (self._core_schedule.n_running or self._scheduler):
                    return None
                (self._single_core_work if is_single_core else self._all_cores_work).wait()

    def _pop_work(self, *, is_single_core: bool) -> Future[None] | Batch[PendingRow] | None:
        """Take the next probe or batch, if there is one."""
        if self._probes:
            return self._probes.popleft()
        n_parallel, n_free = (self._engine.n_parallel, self._core_schedule.n_free) if is_single_core else (1, 1)
        batch = self._scheduler.next_batch(self._clock(), n_parallel=n_parallel, n_free=n_free)
        self._open_calls.expire(batch.expired)
        return batch if batch.items else None

    def _wake(self) -> None:
        """Wake the threads that may have work now."""
        if self._is_draining or self._core_schedule.may_start(is_single_core=True):
            self._single_core_work.notify_all()
        if self._is_draining or self._core_schedule.may_start(is_single_core=False):
            self._all_cores_work.notify_all()

    def _run_probe(self, future: Future[None]) -> None:
        """Run the probe row and end its future."""
        done = run_pass(self._engine, [self._probe_row])
        with self._lock:
            self.counts.n_broken_passes += done.n_broken
        if isinstance(done.results[0], GlossaError):
            future.set_exception(done.results[0])
            return
        self._succeeded_s = self._clock()
        future.set_result(None)

    def _run_batch(self, batch: Batch[PendingRow]) -> float:
        """Run a batch and deliver its results. Return its seconds, without those of interleaved batches."""
        started_s = self._clock()
        for item in batch.items:
            if item.pending_call.started_s is None:
                item.pending_call.started_s = started_s
        interleaved = _InterleavedPasses()
        between = partial(self._run_interleaved, batch, interleaved) if batch.is_long else None
        done = run_pass(self._engine, [item.row for item in batch.items], between)
        if interleaved.error is not None:
            raise interleaved.error
        ended_s = self._clock()
        seconds = ended_s - started_s - interleaved.seconds
        with self._lock:
            self._scheduler.done(batch, None if done.n_broken else seconds)
            self._succeeded_s = self._succeeded_s if done.n_broken else ended_s
            self._open_calls.count_pass(batch, seconds, n_broken=done.n_broken)
            self._scheduler.reenter(self._open_calls.deliver(batch, done.results, ended_s))
        return seconds

    def _run_interleaved(self, running: Batch[PendingRow], interleaved: _InterleavedPasses) -> None:
        """Run waiting short rows between two layers of a long pass, as many as its batch allows.

        Runs none while a probe waits: they would make it wait longer.
        """
        now_s = self._clock()
        try:
            with self._lock:
                self._began_s[current_thread().name] = now_s  # a pass that makes progress is not stuck
                if self._probes:
                    return
                batch = self._scheduler.next_interleaved(running, now_s)
                self._open_calls.expire(batch.expired)
            if batch.items:
                interleaved.seconds += self._run_batch(batch)
                with self._lock:
                    self._wake()  # rows may have re-entered that another thread can run
        except Exception as error:
            interleaved.error = error  # a bug of ours: without this note the long pass would be taken for broken
            raise

    def _end_thread(self, *, is_drained: bool) -> None:
        """End all calls and probes when the last thread ends, or when any thread ends by an error."""
        with self._lock:
            self._n_left -= 1
            self._is_draining = True
            if not is_drained or not self._n_left:
                ended = self._open_calls.fail_all()
                for future in self._probes:
                    future.set_exception(shutting_down())
                self._probes.clear()
                self._wake()
                if self._n_left:  # the other threads then find no work, and end
                    for pending_call in ended:
                        self._scheduler.cancel(pending_call)
            self._wake()


@dataclass(slots=True)
class _InterleavedPasses:
    """Seconds that interleaved batches took within a long pass, and the error that one of them raised."""

    seconds: float = 0.0
    error: Exception | None = None
