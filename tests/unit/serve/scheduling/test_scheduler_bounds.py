"""Waits and shares under load that never ends: the bounds of the scheduler's docstring, on a simulated engine."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.scheduling.batch import Tuning
from serve.scheduling.scheduler import Scheduler
from shared.errors import Overloaded
from tests.unit.serve.scheduling.traffic import Job, call, scheduler

modest = settings(max_examples=25, deadline=None)


@dataclass
class Wait:
    """When a row began to wait, in passes, and the tokens of its tenant, class and kind that waited before it."""

    since_pass: int
    ahead_tokens: int


Kind = tuple[str, str, bool]  # tenant, class, whether the row is resumed


def _kind(job: Job) -> Kind:
    return job.tenant, job.priority, job.n_came > 0


@dataclass
class Load:
    """Tenants that send calls whenever there is room, and what became of their rows."""

    rows: Scheduler[Job]
    random: random.Random
    mix: list[tuple[str, str, int, int]]  # tenant, priority, shortest and longest row
    waits: dict[Job, Wait] = field(default_factory=dict)
    waited_passes: dict[Job, tuple[int, int]] = field(default_factory=dict)
    queued_tokens: Counter[Kind] = field(default_factory=Counter)
    n_passes: int = 0
    n_calls: int = 0
    most_more: int = 0  # how often a row may re-enter

    def arrive(self) -> None:
        """Let one tenant try to send a call."""
        tenant, priority, low, high = self.random.choice(self.mix)
        lengths = [self.random.randint(low, high) for _ in range(self.random.randint(1, 4))]
        more = {"n_more": self.random.randint(0, self.most_more), "step_tokens": self.random.choice([1, low, high])}
        with suppress(Overloaded):
            self.send(*lengths, tenant=tenant, priority=priority, **(more if self.most_more else {}))

    def send(self, *lengths: int, tenant: str, priority: str, **more: int) -> None:
        """Send one call."""
        self.n_calls += 1
        jobs = call(self.n_calls, *lengths, tenant=tenant, priority=priority, **more)
        self.rows.admit(jobs, 0.0)
        self.wait(jobs)

    def wait(self, jobs: list[Job]) -> None:
        """Note rows that begin to wait."""
        for job in jobs:
            self.waits[job] = Wait(self.n_passes, self.queued_tokens[_kind(job)])
            self.queued_tokens[_kind(job)] += job.n_tokens

    def run_pass(self) -> tuple[Job, ...]:
        """Run one pass and note how long its rows waited."""
        batch = self.rows.next_batch(0.0)
        self.n_passes += 1
        assert batch.n_tokens <= self.rows.pass_bound_tokens or len(batch.items) == 1
        for job in batch.items:
            wait = self.waits.pop(job)
            self.waited_passes[job] = (self.n_passes - wait.since_pass, wait.ahead_tokens)
            self.queued_tokens[_kind(job)] -= job.n_tokens
        if batch.items:
            self.rows.done(batch, 0.05)
        resumed = [job.again() for job in batch.items if job.n_more]
        self.rows.reenter(resumed)
        self.wait(resumed)
        return batch.items


def bound_passes(job: Job, ahead_tokens: float, longest: int, n_tenants: int, budget: int, tuning: Tuning) -> float:
    """Return the bound of the scheduler's docstring on the passes that a row waits."""
    before_tokens = n_tenants * (ahead_tokens + (tuning.slack_factor + 2) * longest + budget)
    every = tuning.batch_every if job.priority == "batch" else 2
    return (4 * before_tokens / budget + 2) * every


@modest
@given(
    seed=st.integers(0, 2**32),
    budget=st.integers(10, 80),
    longest=st.integers(1, 100),
    tuning=st.builds(Tuning, st.sampled_from([0.0, 1.0, 4.0, 10.0]), st.integers(2, 9), max_share=st.just(1.0)),
    most_more=st.sampled_from([0, 0, 3, 12]),
    mix=st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["interactive", "batch"])),
        min_size=1,
        max_size=6,
        unique=True,
    ),
)
def test_every_row_runs_within_the_bound(
    seed: int, budget: int, longest: int, tuning: Tuning, most_more: int, mix: list[tuple[str, str]]
) -> None:
    """Under endless load of every mix, no row waits longer than the scheduler's docstring says, and no row is lost.

    The rows pass once, or re-enter up to `most_more` times with one token or with many.
    """
    rows = Scheduler[Job](token_budget=budget, max_backlog_tokens=500 + 4 * longest, max_batch_ms=None, tuning=tuning)
    load = Load(rows, random.Random(seed), [(*who, 1, longest) for who in mix], most_more=most_more)
    for _ in range(250):
        for _ in range(load.random.randint(0, 12)):
            load.arrive()
        load.run_pass()
    for _ in range(2000):
        if not load.run_pass():
            break
    assert (load.waits, len(rows), rows.backlog_tokens) == ({}, 0, 0)
    n_tenants = len({tenant for tenant, _ in mix})
    for job, (waited, own_kind_tokens) in load.waited_passes.items():
        ahead_tokens = float(own_kind_tokens)
        if most_more:
            ahead_tokens += own_kind_tokens + (tuning.slack_factor + 2) * longest  # twice (a + (s + 1) L), less s L
        assert waited <= bound_passes(job, ahead_tokens, longest, n_tenants, budget, tuning)


@modest
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60), st.integers(2, 4))
def test_tenants_with_backlog_get_equal_tokens(seed: int, short: int, long: int, n_tenants: int) -> None:
    """Tenants get near the same tokens, whatever the lengths of their rows and however many calls each sends."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000)
    chance = random.Random(seed)
    for tenant in range(n_tenants):
        low, high = (1, short) if tenant % 2 else (long, long + 10)
        for key in range(30 * (tenant + 1)):
            rows.admit(call(key, *[chance.randint(low, high) for _ in range(10)], tenant=str(tenant)), 0.0)
    served: Counter[str] = Counter()
    while True:
        batch = rows.next_batch(0.0)
        rows.done(batch, 0.05)
        for job in batch.items:
            served[job.tenant] += job.n_tokens
        if len(rows._queues["interactive"]._tenants) < n_tenants:
            break  # one tenant has no rows left
        allowed = 100 + 70  # one pass and one row
        assert max(served.values()) - min(served[str(tenant)] for tenant in range(n_tenants)) <= allowed


@pytest.mark.parametrize("step_tokens", [1, 50])
def test_a_new_row_does_not_wait_for_the_end_of_what_generates(step_tokens: int) -> None:
    """Forty rows of its own tenant re-enter a thousand times each. The new row still runs within a few passes."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000)
    load = Load(rows, random.Random(0), [])
    load.send(*[50] * 40, tenant="a", priority="interactive", n_more=1000, step_tokens=step_tokens)
    for _ in range(40):
        load.run_pass()
    load.send(50, tenant="a", priority="interactive")
    late = next(number for number in range(1, 100) if any(job.key == 2 for job in load.run_pass()))
    assert late <= 8


def test_a_resumed_row_does_not_wait_for_the_new_ones() -> None:
    """With 10,000 new tokens of its own tenant queued, a generating row is still in every second pass."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000)
    load = Load(rows, random.Random(0), [])
    load.send(10, tenant="a", priority="interactive", n_more=1000)
    load.run_pass()
    load.send(*[50, 30] * 125, tenant="a", priority="interactive")
    passed = sum(any(job.key == 1 for job in load.run_pass()) for _ in range(40))
    assert passed >= 20


@modest
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60))
def test_a_tenant_that_generates_gets_no_more_than_another(seed: int, step: int, length: int) -> None:
    """A tenant whose rows re-enter gets near the same tokens as one whose rows pass once."""
    rows = scheduler(token_budget=100, max_backlog_tokens=10_000_000)
    load = Load(rows, random.Random(seed), [])
    load.send(*[length] * 60, tenant="a", priority="interactive", n_more=10_000, step_tokens=step)
    load.send(*[30] * 2000, tenant="b", priority="interactive")
    served: Counter[str] = Counter()
    for _ in range(200):
        for job in load.run_pass():
            served[job.tenant] += job.n_tokens
        assert abs(served["a"] - served["b"]) <= 100 + 60  # one pass and one row


def test_a_kind_without_rows_gathers_no_claim() -> None:
    """After a long time of new rows alone, resumed rows get half of the passes and not all."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000)
    load = Load(rows, random.Random(0), [])
    for _ in range(100):
        load.send(50, tenant="a", priority="interactive")
        load.run_pass()
    load.send(*[50] * 40, tenant="a", priority="interactive", n_more=1000, step_tokens=50)
    for _ in range(40):
        load.run_pass()
    load.send(50, tenant="a", priority="interactive")
    last = load.n_calls
    late = next(number for number in range(1, 100) if any(job.key == last for job in load.run_pass()))
    assert late <= 8


@pytest.mark.parametrize("long", [100, 300])
def test_a_long_row_does_not_wait_for_the_end_of_what_generates(long: int) -> None:
    """Not even when it fits no pass beside the next tokens of generating rows."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000)
    load = Load(rows, random.Random(0), [])
    load.send(10, 10, tenant="a", priority="interactive", n_more=10_000)
    load.run_pass()
    load.send(long, tenant="a", priority="interactive")
    late = next(number for number in range(1, 100) if any(job.key == 2 for job in load.run_pass()))
    assert late <= 3


def test_a_long_row_does_not_wait_for_what_fits_better() -> None:
    """Other rows of two tenants fill every pass. A row of 60 tokens fits beside none of them, and still runs soon."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000, slack_factor=0.0)
    rows.admit(call(1, *[50] * 100, tenant="b"), 0.0)
    rows.admit(call(2, 60, *[50] * 100), 0.0)
    late = next(number for number in range(1, 100) if any(job.n_tokens == 60 for job in rows.next_batch(0.0).items))
    assert late <= 3


def test_a_newcomer_waits_for_no_debt_of_others() -> None:
    """A tenant whose rows fill the rest of others' passes is served more. A new tenant does not pay for that."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000, batch_every=8)
    rows.admit(call(1, *[50] * 2000), 0.0)  # interactive: beside them only rows up to 50 fit
    rows.admit(call(2, *[40] * 2000, tenant="fits", priority="batch"), 0.0)
    rows.admit(call(3, *[90] * 200, tenant="large", priority="batch"), 0.0)
    for _ in range(400):
        rows.done(rows.next_batch(0.0), 0.01)
    rows.admit(call(4, 90, tenant="new", priority="batch"), 0.0)
    served: list[int] = []
    while 4 not in served:
        batch = rows.next_batch(0.0)
        rows.done(batch, 0.01)
        served += [job.key for job in batch.items if job.priority == "batch"]
    assert served.count(3) <= 5


def test_a_light_tenant_waits_for_rounds_not_for_the_backlog() -> None:
    """One row of another tenant does not wait behind 10,000 tokens of the first."""
    rows = scheduler(token_budget=100, max_backlog_tokens=100_000)
    rows.admit(call(1, *[50] * 200), 0.0)
    rows.done(rows.next_batch(0.0), 0.05)
    rows.admit(call(2, 50, tenant="b"), 0.0)
    served: list[int] = []
    while 2 not in served:
        batch = rows.next_batch(0.0)
        rows.done(batch, 0.05)
        served += [job.key for job in batch.items]
    assert len(served) <= 10


@pytest.mark.parametrize("n_waiting", [1, 50, 500])
def test_an_interactive_row_overtakes_all_batch_rows(n_waiting: int) -> None:
    """It goes in the next pass that it may lead: at once, or after the one pass that batch rows were due to lead."""
    rows = scheduler(token_budget=100, max_backlog_tokens=1_000_000)
    rows.admit(call(0, *[50] * n_waiting, priority="batch"), 0.0)
    late = []
    for key in range(1, 200):
        rows.admit(call(key, 60), 0.0)
        n_passes = 0
        served: set[int] = set()
        while key not in served:
            batch = rows.next_batch(0.0)
            rows.done(batch, 0.05)
            served = {job.key for job in batch.items}
            n_passes += 1
        late.append(n_passes)
    assert max(late) <= 2
    assert sum(passes == 2 for passes in late) <= len(late) / 7 + 1


@modest
@given(st.integers(0, 2**32), st.integers(2, 10))
def test_batch_rows_keep_their_share(seed: int, batch_every: int) -> None:
    """However much interactive load there is, batch rows lead at least one pass in `batch_every`."""
    rows = scheduler(token_budget=100, max_backlog_tokens=100_000, batch_every=batch_every)
    load = Load(rows, random.Random(seed), [("a", "interactive", 20, 60), ("b", "interactive", 1, 60)])
    load.send(*[30] * 400, tenant="c", priority="batch")
    led = 0
    for _ in range(60):
        for _ in range(8):
            load.arrive()
        led += load.run_pass()[0].priority == "batch"
    assert led == 60 // batch_every
