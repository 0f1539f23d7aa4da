"""The speed of full passes, which tiny passes do not change."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.scheduling.full_speed import MANY_SHARE, MEMORY_PASSES, FullSpeed
from serve.scheduling.scheduler import Scheduler
from tests.unit.serve.scheduling.traffic import Job, call, scheduler

FULL_TOKENS = 1500
PER_S = 25_000.0  # at which a full pass takes 60 ms
TINY_TOKENS = int(MANY_SHARE * FULL_TOKENS) - 1

modest = settings(max_examples=60, deadline=None)


def _load(rows: Scheduler[Job], calls: int, seconds: Callable[[int], float], *lengths: int) -> None:
    """Send calls one after the other, and run all passes of each."""
    for key in range(calls):
        rows.admit(call(key, *lengths), 0.0)
        while rows:
            batch = rows.next_batch(0.0)
            rows.done(batch, seconds(batch.n_tokens))


@modest
@given(st.lists(st.tuples(st.integers(1, TINY_TOKENS), st.floats(0, 100)), max_size=60))
def test_tiny_passes_change_nothing(history: list[tuple[int, float]]) -> None:
    """However many there are and however long they take."""
    speed = FullSpeed(PER_S, FULL_TOKENS)
    for n_tokens, seconds in history:
        speed.observe(n_tokens, seconds, left_rows=False)
    assert speed.tokens_per_s == PER_S


@modest
@given(st.integers(0, 2**32), st.floats(0, 0.25), st.floats(1, 4))
def test_any_mix_of_lone_passes_stays_near_the_true_speed(seed: int, fixed_share: float, assumed_factor: float) -> None:
    """Lone passes of all sizes, whose fixed part is up to a quarter of a full pass: at most a third too slow."""
    drawn = random.Random(seed)
    speed = FullSpeed(PER_S / assumed_factor, FULL_TOKENS)
    for _ in range(1000):
        n_tokens = drawn.choice([drawn.randint(1, 40), drawn.randint(1, 2 * FULL_TOKENS)])
        speed.observe(n_tokens, (fixed_share * FULL_TOKENS + n_tokens) / PER_S, left_rows=False)
    assert 0.66 * PER_S <= speed.tokens_per_s <= 1.01 * PER_S


@modest
@given(st.floats(1, 20), st.floats(1, 20))
def test_it_follows_a_machine_that_slows_down_and_recovers(slower: float, faster: float) -> None:
    """After the work of some hundred full passes it is within a tenth, whatever their size is by then."""
    speed = FullSpeed(PER_S, FULL_TOKENS)
    for per_s in (PER_S / slower, PER_S / slower * faster):
        worked_s = 0.0
        while worked_s < 5 * MEMORY_PASSES * FULL_TOKENS / PER_S:
            n_tokens = int(per_s * 0.06)
            speed.observe(n_tokens, n_tokens / per_s, left_rows=True)
            worked_s += n_tokens / per_s
        assert speed.tokens_per_s == pytest.approx(per_s, rel=0.1)


def test_short_calls_do_not_make_a_long_text_look_slow() -> None:
    """After 300 lone calls of five tokens, of 8 ms each, a text of 72,000 tokens is expected to take three seconds."""
    rows = Scheduler[Job](token_budget=4096, max_backlog_tokens=100_000, tokens_per_s=PER_S)
    _load(rows, 300, lambda n_tokens: 0.008 + n_tokens / PER_S, 5)
    assert 72_000 / rows.tokens_per_s == pytest.approx(2.9, abs=0.1)
    _load(rows, 1, lambda n_tokens: 0.008 + n_tokens / PER_S, *[500] * 144)
    assert 72_000 / rows.tokens_per_s == pytest.approx(2.9 * 1.2, rel=0.2)


def test_a_backlog_of_short_rows_shows_a_slow_machine() -> None:
    """Passes that leave rows waiting count, though the time bound makes them short on a machine that became slow."""
    rows = Scheduler[Job](token_budget=4096, max_backlog_tokens=100_000, tokens_per_s=PER_S)
    _load(rows, 40, lambda n_tokens: n_tokens / (PER_S / 20), *[20] * 500)
    assert rows.pass_bound_tokens < TINY_TOKENS
    assert rows.tokens_per_s == pytest.approx(PER_S / 20, rel=0.1)


def test_a_full_pass_says_whether_it_left_rows() -> None:
    """A pass that takes all that waits left none; so did one of many that run side by side, for it left them theirs."""
    rows = scheduler(token_budget=100)
    rows.admit(call(1, *[10] * 15), 0.0)
    assert [rows.next_batch(0.0).left_rows for _ in range(2)] == [True, False]
    rows.admit(call(2, *[10] * 4), 0.0)
    assert not rows.next_batch(0.0, n_parallel=2, n_free=2).left_rows
