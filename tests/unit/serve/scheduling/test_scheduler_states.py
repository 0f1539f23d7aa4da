"""Any sequence of admit, cancel, pass, re-entry and time: each row ends exactly once, and the counts are right."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serve.scheduling.batch import Batch, Tuning
from serve.scheduling.scheduler import Scheduler
from shared.errors import Overloaded, TooLarge
from tests.unit.serve.scheduling.traffic import Job, call

MAX_BACKLOG_TOKENS = 120
MAX_CACHE_BYTES = 100


class SchedulerStates(RuleBasedStateMachine):
    """A scheduler beside a plain model of it: the sets of rows that wait, run, and have ended."""

    rows: Scheduler[Job]

    @initialize(
        budget=st.integers(1, 40),
        slack_factor=st.sampled_from([0.0, 0.5, 4.0]),
        share=st.sampled_from([0.5, 1.0]),
    )
    def start(self, budget: int, slack_factor: float, share: float) -> None:
        self.budget, self.share = budget, share
        tuning = Tuning(slack_factor=slack_factor, max_share=share)
        self.rows = Scheduler(
            token_budget=budget,
            max_backlog_tokens=MAX_BACKLOG_TOKENS,
            max_batch_ms=None,
            max_cache_bytes=MAX_CACHE_BYTES,
            tuning=tuning,
        )
        self.now_s = 0.0
        self.n_calls = 0
        self.waiting: set[Job] = set()
        self.expired: set[Job] = set()  # removed, not yet reported
        self.running: list[Batch[Job]] = []
        self.interleaved_tokens: dict[int, int] = {}  # of all rows interleaved with a batch

    @rule(
        lengths=st.lists(st.integers(1, 50), min_size=1, max_size=5),
        tenant=st.sampled_from("abc"),
        priority=st.sampled_from(["interactive", "batch"]),
        left_s=st.integers(1, 5) | st.just(math.inf),
        more=st.fixed_dictionaries({
            "n_more": st.integers(0, 4), "step_tokens": st.integers(1, 30), "cache_bytes": st.integers(0, 30),
        }),
    )  # fmt: skip
    def admit(self, lengths: list[int], tenant: str, priority: str, left_s: float, more: dict[str, int]) -> None:
        self.n_calls += 1
        jobs = call(self.n_calls, *lengths, tenant=tenant, priority=priority, deadline_s=self.now_s + left_s, **more)
        n_tokens, n_bytes = sum(job.most_tokens for job in jobs), sum(job.cache_bytes for job in jobs)
        could_fit = n_tokens <= MAX_BACKLOG_TOKENS and n_bytes <= MAX_CACHE_BYTES
        if could_fit:
            self._expire()
        fits = self._fits(jobs[0], n_tokens, n_bytes)
        try:
            self.rows.admit(jobs, self.now_s)
        except TooLarge:
            assert not could_fit
        except Overloaded as refusal:
            assert not fits
            self.check_wait(refusal.retry_after_s)
        else:
            assert fits
            self.waiting |= set(jobs)

    def check_wait(self, retry_after_s: float | None) -> None:
        assert retry_after_s is not None
        assert 0 < retry_after_s <= MAX_BACKLOG_TOKENS / self.rows.tokens_per_s

    def _held(self) -> list[Job]:
        return [*self.waiting, *(known for batch in self.running for known in batch.items)]

    def _fits(self, job: Job, n_tokens: int, n_bytes: int) -> bool:
        held = self._held()
        shares = [sum(known.most_tokens for known in held if known.tenant == job.tenant)]
        if job.priority == "batch":
            shares.append(sum(known.most_tokens for known in held if known.priority == "batch"))
        return (
            sum(known.most_tokens for known in held) + n_tokens <= MAX_BACKLOG_TOKENS
            and sum(known.cache_bytes for known in held) + n_bytes <= MAX_CACHE_BYTES
            and all(not tokens or tokens + n_tokens <= self.share * MAX_BACKLOG_TOKENS for tokens in shares)
        )

    def _expire(self) -> None:
        over = {job for job in self.waiting if job.deadline_s <= self.now_s}
        self.waiting -= over
        self.expired |= over

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.now_s += seconds

    @rule(parallel=st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
    def next_batch(self, parallel: tuple[int, int] = (1, 1)) -> None:
        n_parallel, n_free = parallel
        batch = self.rows.next_batch(self.now_s, n_parallel=n_parallel, n_free=n_free)
        self._expire()
        assert set(batch.expired) == self.expired
        assert len(batch.expired) == len(self.expired)
        self.expired = set()
        assert len(set(batch.items)) == len(batch.items)
        assert set(batch.items) <= self.waiting
        assert bool(batch.items) == bool(self.waiting)
        assert batch.n_tokens == sum(job.n_tokens for job in batch.items)
        assert batch.n_tokens <= max(1, self.budget // n_parallel) or len(batch.items) == 1
        part_tokens = math.ceil(sum(job.n_tokens for job in self.waiting) / n_free)
        assert batch.n_tokens <= part_tokens or len(batch.items) == 1
        self.waiting -= set(batch.items)
        if batch.items:
            self.running.append(batch)

    @precondition(lambda self: any(batch.interleaved_tokens for batch in self.running))
    @rule(data=st.data())
    def next_interleaved(self, data: st.DataObject) -> None:
        long_batch = data.draw(st.sampled_from([batch for batch in self.running if batch.interleaved_tokens]))
        assert len(long_batch.items) == 1
        assert long_batch.n_tokens > self.budget // long_batch.n_parallel
        interleaved = self.rows.next_interleaved(long_batch, self.now_s)
        self._expire()
        assert set(interleaved.expired) == self.expired
        self.expired = set()
        assert set(interleaved.items) <= {job for job in self.waiting if job.priority == "interactive"}
        assert interleaved.n_tokens == sum(job.n_tokens for job in interleaved.items)
        assert interleaved.n_tokens <= self.budget // long_batch.n_parallel
        self.interleaved_tokens[long_batch.number] = (
            self.interleaved_tokens.get(long_batch.number, 0) + interleaved.n_tokens
        )
        assert self.interleaved_tokens[long_batch.number] <= long_batch.interleaved_tokens
        assert (interleaved.n_parallel, interleaved.interleaved_tokens) == (long_batch.n_parallel, 0)
        self.waiting -= set(interleaved.items)
        if interleaved.items:
            self.running.append(interleaved)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.booleans())
    def done(self, data: st.DataObject, failed: bool) -> None:  # noqa: FBT001 - drawn
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.rows.done(batch, None if failed else 0.01)
        again = [job.again() for job in batch.items if job.n_more and data.draw(st.booleans())]
        self.rows.reenter(again)
        self.waiting |= set(again)

    @precondition(lambda self: self.n_calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.integers(0, self.n_calls))
        gone = self.rows.cancel(key)
        assert len(set(gone)) == len(gone)
        assert set(gone) == {job for job in self.waiting if job.key == key}
        self.waiting -= set(gone)

    @invariant()
    def counts_are_right(self) -> None:
        assert self.rows.backlog_tokens == sum(job.most_tokens for job in self._held())
        assert self.rows.backlog_tokens <= MAX_BACKLOG_TOKENS
        assert self.rows.kv_cache_bytes == sum(job.cache_bytes for job in self._held())
        assert self.rows.kv_cache_bytes <= MAX_CACHE_BYTES
        assert len(self.rows) == len(self.waiting) + len(self.expired)
        assert self.rows.waiting_tokens == sum(job.n_tokens for job in self.waiting)
        assert self.rows.has_new == any(not job.n_came for job in self.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "now_s"):
            return
        for batch in self.running:
            self.rows.done(batch, 0.01)
        self.running = []
        for _ in range(len(self.waiting) + 1):
            self.next_batch()
            while self.running:
                self.rows.done(self.running.pop(), 0.01)
        assert (self.waiting, len(self.rows), self.rows.backlog_tokens) == (set(), 0, 0)
        assert not self.rows._calls
        assert not len(self.rows._with_deadline)
        assert not self.rows._interleaved_tokens
        assert self.rows._admission.is_empty
        assert all(not len(queue._tenants) and not queue._waiting_tokens for queue in self.rows._queues.values())


TestScheduler = SchedulerStates.TestCase
TestScheduler.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
