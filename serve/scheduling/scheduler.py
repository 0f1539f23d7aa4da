"""Rows in, packed batches out: which rows the next forward pass takes. Pure: no threads, no clock, no torch.

No waiting window: the engine asks for a batch when it is free, and gets what there is, so that a
lone row never waits and batches grow with the load (text-embeddings-inference's queue). A batch is
bounded by tokens and, with `max_batch_ms`, by the expected milliseconds of its pass (serve.scheduling.speed_estimate);
a row larger than the bound goes alone. Where every tenant's interactive rows wait far longer than that, a pass
may be longer too: short passes read the weights more often, so that all of them would wait longer.
Interactive rows lead and batch rows fill what is left, but every `batch_every`-th pass is led by batch
rows. Inside a class tenants have equal tokens, and of a tenant's rows those go first that are due first: a row is due
when `slack` times its own tokens have come after it, so that short rows need not wait for long ones, nor these for more
than their part (serve.scheduling.fair_queue). The pass of a row that is larger than the bound lets others in between
two layers
(`next_interleaved`), until its slack is used up.

Wait bound. Let T be the batch bound, L the longest row and s the slack. Any two passes a class leads take more than T/2
of its tokens, or of a short queue each free lane's share: what did not fit is next. Of its own tenant, at most the `a`
tokens that were before a row and s L that come later go before it; and of those that wait each of N tenants has had at
most T + L more than another. So a row goes within N (a + s L + T + 2 L) tokens of its class, and s L for each pass that
lets others in when it is next. With lanes T is a lane's part of the bound, `deepest` times that while a queue is long,
and the passes of all lanes count. A class leads at least every second (interactive) or `batch_every`-th (batch) pass.
Not Ray's `@serve.batch`: that one sends what does not fit to the back, without a bound.

A generating row comes back after each pass (`reenter`), with the tokens its next pass reads: one with a
cache, all without. Inside a tenant the rows that came back and those that are new take turns by tokens, so
with both about, a row waits as if 2 (a + (s + 1) L) tokens went before it, `a` counted on its own side alone and
however many steps the other side has left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Generic

from serve.engine.parallel_passes import MIN_PASS_TOKENS, is_parallel_faster
from serve.scheduling.admission import Admission
from serve.scheduling.batch import Batch, Tuning
from serve.scheduling.fair_queue import Entry, FairQueue, T
from serve.scheduling.keyed_heap import KeyedHeap
from serve.scheduling.speed_estimate import Speed

SAFE_PASSES = 2.0  # a batch lets others in while so many of its passes would end before its deadline


class Scheduler(Generic[T]):
    """Admits rows of calls, gives them out in batches, and counts them until they are done.

    Every item that was admitted or came back comes out exactly once: in a batch's `items` or `expired`, or from
    `cancel`.
    Not thread-safe: one thread or event loop owns it. Any clock will do, as long as it is one.
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

        `max_backlog_tokens` and `max_cache_bytes` bound what is admitted and not done; `tokens_per_s` is the
        assumed speed until passes are measured.
        """
        self._tuning = tuning or Tuning()
        self._token_budget = token_budget
        self._max_batch_ms = max_batch_ms
        expected_tokens = token_budget if max_batch_ms is None else int(tokens_per_s * max_batch_ms / 1e3)
        self._speed = Speed(tokens_per_s, max(1, min(token_budget, expected_tokens)))
        self._queues = {priority: FairQueue[T](self._tuning.slack) for priority in ("interactive", "batch")}
        self._calls: dict[object, dict[int, Entry[T]]] = {}
        self._timed = KeyedHeap[int, Entry[T]]()  # waiting rows with a deadline, by number
        self._admission = Admission(max_backlog_tokens, max_cache_bytes, self._tuning.max_share)
        self._running: dict[int, list[Entry[T]]] = {}
        self._interleaved_tokens: dict[int, int] = {}  # of batches that run, what may still run between their layers
        self._expired: list[T] = []
        self._n_batches = self._n_admitted = self._n_skipped = 0

    def __len__(self) -> int:
        """Return the number of rows `next_batch` has still to give out, those expired included."""
        return sum(map(len, self._queues.values())) + len(self._expired)

    @property
    def backlog_tokens(self) -> int:
        """Tokens admitted and neither done, expired nor cancelled; of a generating row all it may come to."""
        return self._admission.n_tokens

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values that admitted rows may keep."""
        return self._admission.cache_bytes

    @property
    def tokens_per_s(self) -> float:
        """Expected speed of full passes, from those measured."""
        return self._speed.tokens_per_s(self._token_budget)

    @property
    def budget_tokens(self) -> int:
        """What a batch led by interactive rows may hold: the token budget, or less where its pass would be too long."""
        return self._bound_tokens(self._queues["interactive"].least_tokens)

    def admit(self, items: Sequence[T], now_s: float) -> None:
        """Queue all rows of one call (same key, tenant and priority), or none; expired rows make room first.

        Raises TooLarge for a call that could never be admitted, Overloaded with the seconds the backlog
        takes at the measured speed when there is no room now.
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
        """Queue rows of a batch that was just done and is not finished with them: what admission counted still holds.

        An item is the row as it is now, of the same call. Its deadline and `cancel` hold as before.
        """
        for item in items:
            self._enter(item, is_resumed=True)

    @property
    def waiting_tokens(self) -> int:
        """Tokens that the next passes of all waiting rows read."""
        return sum(queue.n_tokens for queue in self._queues.values())

    @property
    def has_new(self) -> bool:
        """Whether a row waits that was in no pass yet."""
        return any(queue.has_new for queue in self._queues.values())

    def is_parallel_faster(self, n_parallel: int) -> bool:
        """Whether `n_parallel` passes side by side finish what waits sooner than one (engine.parallel_passes)."""
        n_tokens = self.waiting_tokens
        if not is_parallel_faster(n_tokens, 1, n_parallel):  # too few for any rows
            return False
        return is_parallel_faster(n_tokens, max(queue.longest_tokens for queue in self._queues.values()), n_parallel)

    def next_batch(self, now_s: float, *, n_parallel: int = 1, n_free: int = 1) -> Batch[T]:
        """Return the rows of the next pass, and all those whose deadline was at or before `now_s`.

        With `n_parallel` the pass is one of so many side by side, each on its part of the cores: it takes its part of
        the batch bound, and leaves to the lanes that are free as well, `n_free` with its own, their part of what waits.
        """
        self._expire(now_s)
        return self._batch(self._take(n_parallel, n_free), n_parallel)

    def next_interleaved(self, batch: Batch[T], now_s: float) -> Batch[T]:
        """Return interactive rows to run between two layers of a batch that runs, in its place, and all that expired.

        They are those that would go next, as far as they fit the batch bound and what is left of
        `interleaved_tokens`; none
        where the batch itself may then be too late.
        """
        self._expire(now_s)
        has_time = all(now_s + self._pass_s(batch) * SAFE_PASSES < item.deadline_s for item in batch.items)
        left_tokens = self._interleaved_tokens.get(batch.number, 0) if has_time else 0
        taken = self._queues["interactive"].take(
            min(self._bound_tokens(0) // batch.n_parallel, left_tokens), leads=False
        )
        interleaved = self._batch(taken, batch.n_parallel)
        if taken:  # a pass of few tokens takes as long: it reads all weights
            self._interleaved_tokens[batch.number] -= max(interleaved.n_tokens, MIN_PASS_TOKENS)
        return interleaved

    def done(self, batch: Batch[T], seconds: float | None) -> None:
        """Count a batch as finished after a pass of `seconds`, or None when the pass failed and says nothing.

        A pass mostly of rows that came back says little of how long tokens take: it is measured only where
        most of its tokens are new. In the time of a pass on a lane all cores are taken to do `n_parallel` of them,
        which
        is a little too fast while other lanes stand still. Raises KeyError for a batch that is not running.
        """
        entries = self._running.pop(batch.number)
        self._interleaved_tokens.pop(batch.number, None)
        for entry in entries:
            self._admission.release(entry.item)
        n_again = sum(entry.n_tokens for entry in entries if entry.is_resumed)
        if seconds is not None and 2 * n_again <= batch.n_tokens:
            self._speed.observe(batch.n_tokens * batch.n_parallel, seconds)

    def cancel(self, key: object) -> tuple[T, ...]:
        """Take out and return the rows of a call that wait; those in a pass run to its end."""
        entries = list(self._calls.get(key, {}).values())
        for entry in entries:
            self._withdraw(entry)
        return tuple(entry.item for entry in entries)

    def _enter(self, item: T, *, is_resumed: bool = False) -> None:
        self._n_admitted += 1
        entry = Entry(item, self._n_admitted, item.n_tokens, is_resumed)
        self._queues[item.priority].push(entry)
        self._calls.setdefault(item.key, {})[entry.number] = entry
        if math.isfinite(item.deadline_s):
            self._timed.put(entry.number, item.deadline_s, entry)
        self._admission.hold(item)

    def _withdraw(self, entry: Entry[T]) -> None:
        """Take a waiting row out of everything."""
        self._queues[entry.item.priority].remove(entry)
        self._forget(entry)
        self._admission.release(entry.item)

    def _forget(self, entry: Entry[T]) -> None:
        """Keep no hold on a row that waits no more, nor on what it keeps."""
        if entry.number in self._timed:
            self._timed.remove(entry.number)
        rows = self._calls[entry.item.key]
        del rows[entry.number]
        if not rows:
            del self._calls[entry.item.key]

    def _expire(self, now_s: float) -> None:
        """Take out rows past their deadline; the next batch reports them."""
        while len(self._timed) and (entry := self._timed.first()).item.deadline_s <= now_s:
            self._withdraw(entry)
            self._expired.append(entry.item)

    def _take(self, n_parallel: int, n_free: int) -> list[Entry[T]]:
        """Take the rows of one pass: the leading class first, the other where tokens are left."""
        leader, follower = self._order()
        plain_tokens = self._bound_tokens(0)
        bound_tokens = self.budget_tokens if leader is self._queues["interactive"] else plain_tokens
        budget_tokens = max(1, min(bound_tokens // n_parallel, math.ceil(self.waiting_tokens / n_free)))
        taken = leader.take(budget_tokens, leads=True)
        left_tokens = budget_tokens - sum(entry.n_tokens for entry in taken)
        if taken and left_tokens > 0:
            taken += follower.take(left_tokens, leads=False)
        return taken

    def _batch(self, taken: list[Entry[T]], n_parallel: int) -> Batch[T]:
        """Return rows that leave the queues, and those that have expired, as a batch."""
        expired, self._expired = self._expired, []
        self._n_batches += 1
        for entry in taken:
            self._forget(entry)
        if taken:
            self._running[self._n_batches] = taken
        n_tokens = sum(entry.n_tokens for entry in taken)
        is_long = len(taken) == 1 and n_tokens > self._bound_tokens(0) // n_parallel
        interleaved_tokens = taken[0].slack_tokens if is_long else 0
        if interleaved_tokens:
            self._interleaved_tokens[self._n_batches] = interleaved_tokens
        return Batch(
            number=self._n_batches,
            items=tuple(entry.item for entry in taken),
            expired=tuple(expired),
            n_tokens=n_tokens,
            n_parallel=n_parallel,
            interleaved_tokens=interleaved_tokens,
        )

    def _pass_s(self, batch: Batch[T]) -> float:
        """Return the expected seconds of a pass without guests."""
        return self._speed.forward_ms(batch.n_tokens * batch.n_parallel) / 1e3

    def _bound_tokens(self, waiting_tokens: int) -> int:
        """Return what a pass may hold while every tenant has at least so many tokens waiting."""
        if self._max_batch_ms is None:
            return self._token_budget
        long_queue_ms = self._tuning.long_queue_share * self._speed.forward_ms(waiting_tokens)
        longest_ms = self._tuning.max_pass_growth * self._max_batch_ms
        return min(
            self._token_budget, self._speed.tokens_within(max(self._max_batch_ms, min(long_queue_ms, longest_ms)))
        )

    def _order(self) -> tuple[FairQueue[T], FairQueue[T]]:
        """Return who leads this pass and who follows; count how often waiting batch rows did not lead."""
        interactive, batch = self._queues["interactive"], self._queues["batch"]
        if batch and (not interactive or self._n_skipped + 1 >= self._tuning.batch_every):
            self._n_skipped = 0
            return batch, interactive
        self._n_skipped = self._n_skipped + 1 if batch else 0
        return interactive, batch
