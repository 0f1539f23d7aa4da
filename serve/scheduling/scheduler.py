"""Decides which rows the next forward pass takes. Pure: no threads, no clock, no torch.

There is no waiting window. The engine asks for a batch when it is free, and gets what waits. So a lone row never waits,
and batches grow with the load, as in text-embeddings-inference. Ray's `@serve.batch` is not used: it sends what does
not fit to the back, without a bound.

Size. A batch is bounded in tokens, and with `max_batch_ms` in the expected milliseconds of its pass
(serve.scheduling.admission). A row larger than the bound goes alone. When the interactive rows of every tenant
need far longer than `max_batch_ms`, a pass may be longer too. Each pass reads all weights, so many short passes would
make all these rows wait longer.

Order. Interactive rows lead a pass, and batch rows fill what is left. Every `batch_every`-th pass is led by batch rows
instead. Within a priority, tenants get equal tokens, and of a tenant's rows the one that is due first goes next
(serve.scheduling.fair_queue). While a row larger than the bound runs alone, other rows may run between two layers of
its pass (`next_interleaved`). They may do so until as many tokens have gone before the large row as its slack allows.

Wait bound. A row waits for a bounded number of tokens: those of its tenant that came first, later ones within its
slack, about as many of every other tenant, and a few passes. Example: two tenants, passes of 1,000 tokens, no row
over 100 tokens, a slack factor of 4, and 500 tokens of its own tenant that wait when the row arrives. It runs within
2 (500 + 400 + 1,000 + 200) = 4,200 tokens of its priority, which is a little over four full passes.
benchmarks/notes/scheduling.md has the formula and why it holds.

Generation. A generating row re-enters after each pass (`reenter`) with the tokens that its next pass reads: one with a
cache, all without. New and resumed rows of a tenant share its passes equally by tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Generic

from serve.engine.parallel_passes import MIN_PASS_TOKENS, is_parallel_faster
from serve.scheduling.admission import Admission, SpeedEstimate
from serve.scheduling.batch import Batch, Tuning
from serve.scheduling.fair_queue import Entry, FairQueue, T
from serve.scheduling.full_speed import FullSpeed
from serve.scheduling.keyed_heap import KeyedHeap

MAX_MEASURED_TOKENS = 2048  # of a row: attention takes most of the time of a longer one, and its square grows
SAFE_PASSES = 2.0  # rows are interleaved with a batch only while so many of its passes would end before its deadline


class Scheduler(Generic[T]):
    """Admits rows of calls, gives them out in batches, and counts them until they are done.

    An item is one row of a call. Each item that is admitted or re-enters comes out exactly once: in the `items` or
    the `expired` of a batch, or from `cancel`. Not thread-safe: the caller's lock guards it. All times must come from
    one clock, whichever it is.
    """

    def __init__(
        self,
        *,
        token_budget: int,
        max_backlog_tokens: int,
        tokens_per_s: float = 1000.0,
        max_batch_ms: float | None = 60.0,
        max_cache_bytes: int = 2**30,
        tuning: Tuning | None = None,
    ) -> None:
        """Bound a batch by `token_budget` and `max_batch_ms` (None: by tokens alone).

        `max_backlog_tokens` and `max_cache_bytes` bound what is admitted and not done. `tokens_per_s` is the speed that
        is assumed until passes are measured.
        """
        self._tuning = tuning or Tuning()
        self._token_budget = token_budget
        self._max_batch_ms = max_batch_ms
        expected_tokens = token_budget if max_batch_ms is None else int(tokens_per_s * max_batch_ms / 1e3)
        full_tokens = max(1, min(token_budget, expected_tokens))
        self._speed, self._full_speed = SpeedEstimate(tokens_per_s, full_tokens), FullSpeed(tokens_per_s, full_tokens)
        self._queues = {priority: FairQueue[T](self._tuning.slack_factor) for priority in ("interactive", "batch")}
        self._calls: dict[object, dict[int, Entry[T]]] = {}
        self._with_deadline = KeyedHeap[int, Entry[T]]()  # waiting rows that have a deadline, by number
        self._admission = Admission(max_backlog_tokens, max_cache_bytes, self._tuning.max_share)
        self._running: dict[int, list[Entry[T]]] = {}
        self._interleaved_tokens: dict[int, int] = {}  # that may still run between the layers of a running batch
        self._expired: list[T] = []
        self._was_long = False  # whether the last pass that was done read a row of over MAX_MEASURED_TOKENS
        self._n_batches = self._n_entered = self._n_not_led = 0

    def __len__(self) -> int:
        """Return the number of rows that `next_batch` has still to give out, expired rows included."""
        return sum(map(len, self._queues.values())) + len(self._expired)

    @property
    def is_running(self) -> bool:
        """Whether a batch was given out that is not done."""
        return bool(self._running)

    @property
    def backlog_tokens(self) -> int:
        """Tokens admitted and not done, expired or cancelled. A generating row counts all that it may come to."""
        return self._admission.n_tokens

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of keys and values that admitted rows may keep."""
        return self._admission.cache_bytes

    @property
    def tokens_per_s(self) -> float:
        """Expected speed of full passes, from the measured ones. Passes of few tokens do not change it."""
        return self._full_speed.tokens_per_s

    @property
    def pass_bound_tokens(self) -> int:
        """The most tokens of a pass that interactive rows lead: the token budget, or less to keep its pass short."""
        return self._bound_tokens(self._queues["interactive"].least_tokens)

    def admit(self, items: Sequence[T], now_s: float) -> None:
        """Queue all rows of one call, or none. Expired rows make room first.

        The rows have the same key, tenant and priority. Raises TooLarge for a call that could never be admitted.
        Raises Overloaded when there is no room now, with the seconds that all admitted tokens take.
        """
        self._admission.check_size(items)
        if any(item.n_tokens < 1 for item in items):
            raise ValueError("got a row without tokens, expected at least 1. This is a bug.")
        self._expire(now_s)
        if items:
            self._admission.check_room(items, self.tokens_per_s)
        for item in items:
            self._enter(item)

    def reenter(self, items: Sequence[T]) -> None:
        """Queue rows of a batch that is done, because they need another pass. They keep the room that they had.

        An item is the row as it is now. It still belongs to its call: its deadline holds, and `cancel` takes it out.
        """
        for item in items:
            self._enter(item, is_resumed=True)

    @property
    def waiting_tokens(self) -> int:
        """Tokens that the next passes of all waiting rows read."""
        return sum(queue.n_tokens for queue in self._queues.values())

    @property
    def has_new(self) -> bool:
        """Whether a row waits for its first pass."""
        return any(queue.has_new for queue in self._queues.values())

    def is_parallel_faster(self, n_parallel: int) -> bool:
        """Whether `n_parallel` parallel passes finish what waits sooner than one pass of all cores."""
        n_tokens = self.waiting_tokens
        if not is_parallel_faster(n_tokens, 1, n_parallel):  # too few, whatever the rows are
            return False
        return is_parallel_faster(n_tokens, max(queue.longest_tokens for queue in self._queues.values()), n_parallel)

    def next_batch(self, now_s: float, *, n_parallel: int = 1, n_free: int = 1) -> Batch[T]:
        """Return the rows of the next pass, and all rows whose deadline was at or before `now_s`.

        The pass is one of `n_parallel` that may run side by side. It takes at most one `n_parallel`-th of the batch
        bound, and about one `n_free`-th of what waits. `n_free` counts the parallel passes that may start now, with
        this one.
        """
        self._expire(now_s)
        taken, bound_tokens = self._take(n_parallel, n_free)
        is_full = 2 * sum(entry.n_tokens for entry in taken) >= bound_tokens
        return self._batch(taken, n_parallel, left_rows=is_full and self.waiting_tokens > 0)

    def next_interleaved(self, batch: Batch[T], now_s: float) -> Batch[T]:
        """Return interactive rows to run between two layers of a running batch, and all rows that expired.

        They are the rows that would go next, as far as the batch bound and the rest of `interleaved_tokens` allow.
        There are none when the running batch might then miss its deadline.
        """
        self._expire(now_s)
        has_time = all(now_s + self._pass_s(batch) * SAFE_PASSES < item.deadline_s for item in batch.items)
        left_tokens = self._interleaved_tokens.get(batch.number, 0) if has_time else 0
        taken = self._queues["interactive"].take(
            min(self._bound_tokens(0) // batch.n_parallel, left_tokens), leads=False
        )
        interleaved = self._batch(taken, batch.n_parallel)
        if taken:  # a smaller pass takes as long, because it reads all weights
            self._interleaved_tokens[batch.number] -= max(interleaved.n_tokens, MIN_PASS_TOKENS)
        return interleaved

    def done(self, batch: Batch[T], seconds: float | None) -> None:
        """Count a batch as done after a pass of `seconds`, or None when the pass broke and its time says nothing.

        Only passes of mostly new rows are measured: resumed rows say little about the time of a token. So does a row of
        over MAX_MEASURED_TOKENS. Such a pass is measured only when the pass before it was one too. During a parallel
        pass, all `n_parallel` are assumed to run. So the measured speed is a little too high while some are idle.
        Raises KeyError for a batch that is not running.
        """
        entries = self._running.pop(batch.number)
        self._interleaved_tokens.pop(batch.number, None)
        for entry in entries:
            self._admission.release(entry.item)
        n_resumed_tokens = sum(entry.n_tokens for entry in entries if entry.is_resumed)
        was_long, self._was_long = self._was_long, max(entry.n_tokens for entry in entries) > MAX_MEASURED_TOKENS
        says_much = 2 * n_resumed_tokens <= batch.n_tokens and (was_long or not self._was_long)
        if seconds is not None and says_much:
            n_tokens = batch.n_tokens * batch.n_parallel
            self._speed.observe(n_tokens, seconds)
            self._full_speed.observe(n_tokens, seconds, left_rows=batch.left_rows)

    def cancel(self, key: object) -> tuple[T, ...]:
        """Remove the waiting rows of a call and return them. Its rows in a pass stay there until the pass is done."""
        entries = list(self._calls.get(key, {}).values())
        for entry in entries:
            self._withdraw(entry)
        return tuple(entry.item for entry in entries)

    def _enter(self, item: T, *, is_resumed: bool = False) -> None:
        self._n_entered += 1
        entry = Entry(item, self._n_entered, item.n_tokens, is_resumed)
        self._queues[item.priority].push(entry)
        self._calls.setdefault(item.key, {})[entry.number] = entry
        if math.isfinite(item.deadline_s):
            self._with_deadline.put(entry.number, item.deadline_s, entry)
        self._admission.add(item)

    def _withdraw(self, entry: Entry[T]) -> None:
        """Remove a waiting row that no pass will take."""
        self._queues[entry.item.priority].remove(entry)
        self._forget(entry)
        self._admission.release(entry.item)

    def _forget(self, entry: Entry[T]) -> None:
        """Drop all references to a row that no longer waits."""
        if entry.number in self._with_deadline:
            self._with_deadline.remove(entry.number)
        rows = self._calls[entry.item.key]
        del rows[entry.number]
        if not rows:
            del self._calls[entry.item.key]

    def _expire(self, now_s: float) -> None:
        """Remove the rows past their deadline. The next batch reports them."""
        while len(self._with_deadline) and (entry := self._with_deadline.first()).item.deadline_s <= now_s:
            self._withdraw(entry)
            self._expired.append(entry.item)

    def _take(self, n_parallel: int, n_free: int) -> tuple[list[Entry[T]], int]:
        """Take the rows of one pass: those of the leading priority first, then others while tokens are left.

        Return them with the tokens that a pass may hold.
        """
        leader, follower = self._order()
        is_interactive = leader is self._queues["interactive"]
        bound_tokens = (self.pass_bound_tokens if is_interactive else self._bound_tokens(0)) // n_parallel
        pass_tokens = max(1, min(bound_tokens, math.ceil(self.waiting_tokens / n_free)))
        taken = leader.take(pass_tokens, leads=True)
        left_tokens = pass_tokens - sum(entry.n_tokens for entry in taken)
        if taken and left_tokens > 0:
            taken += follower.take(left_tokens, leads=False)
        return taken, bound_tokens

    def _batch(self, taken: list[Entry[T]], n_parallel: int, *, left_rows: bool = False) -> Batch[T]:
        """Return rows that left the queues, and those that have expired, as a batch."""
        expired, self._expired = self._expired, []
        self._n_batches += 1
        for entry in taken:
            self._forget(entry)
        if taken:
            self._running[self._n_batches] = taken
        n_tokens = sum(entry.n_tokens for entry in taken)
        is_long = len(taken) == 1 and n_tokens > self._bound_tokens(0) // n_parallel
        interleaved_tokens = taken[0].overtake_tokens_left if is_long else 0
        if interleaved_tokens:
            self._interleaved_tokens[self._n_batches] = interleaved_tokens
        return Batch(
            number=self._n_batches,
            items=tuple(entry.item for entry in taken),
            expired=tuple(expired),
            n_tokens=n_tokens,
            n_parallel=n_parallel,
            left_rows=left_rows,
            is_long=is_long,
            interleaved_tokens=interleaved_tokens,
        )

    def _pass_s(self, batch: Batch[T]) -> float:
        """Return the expected seconds of a pass without interleaved rows."""
        return self._speed.forward_ms(batch.n_tokens * batch.n_parallel) / 1e3

    def _bound_tokens(self, waiting_tokens: int) -> int:
        """Return the most tokens of a pass, while every waiting tenant has at least `waiting_tokens` in its queue."""
        if self._max_batch_ms is None:
            return self._token_budget
        long_queue_ms = self._tuning.long_queue_share * self._speed.forward_ms(waiting_tokens)
        longest_ms = self._tuning.max_pass_growth * self._max_batch_ms
        pass_ms = max(self._max_batch_ms, min(long_queue_ms, longest_ms))
        return min(self._token_budget, self._speed.tokens_within(pass_ms))

    def _order(self) -> tuple[FairQueue[T], FairQueue[T]]:
        """Return the queue that leads this pass, then the other. Count how often waiting batch rows did not lead."""
        interactive, batch = self._queues["interactive"], self._queues["batch"]
        if batch and (not interactive or self._n_not_led + 1 >= self._tuning.batch_every):
            self._n_not_led = 0
            return batch, interactive
        self._n_not_led = self._n_not_led + 1 if batch else 0
        return interactive, batch
