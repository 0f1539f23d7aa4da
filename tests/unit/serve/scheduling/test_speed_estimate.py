"""The line ms = a + b * tokens, learned from passes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.scheduling.admission import SpeedEstimate
from tests.unit.serve.scheduling.traffic import call, passes, scheduler


def test_the_line_is_found() -> None:
    """Passes of several sizes show both coefficients of the line."""
    speed = SpeedEstimate(tokens_per_s=1000, expected_tokens=100)
    for number in range(400):
        n_tokens = 50 + number * 37 % 300
        speed.observe(n_tokens, 0.010 + n_tokens * 0.0002)
    assert speed.ms_per_token == pytest.approx(0.2, rel=0.05)
    assert speed.forward_ms(0) == pytest.approx(10, abs=1)
    assert speed.tokens_within(60) == pytest.approx(250, rel=0.05)


def test_short_passes_do_not_make_long_ones_slow() -> None:
    """When reading the weights takes half of a short pass, full passes are expected to be faster per token."""
    speed = SpeedEstimate(tokens_per_s=1000, expected_tokens=60)
    for number in range(200):
        n_tokens = 20 + number % 20
        speed.observe(n_tokens, 0.010 + n_tokens * 0.0003)
    assert 30e3 / speed.forward_ms(30) == pytest.approx(1600, rel=0.05)
    assert 4096e3 / speed.forward_ms(4096) == pytest.approx(3200, rel=0.1)


def test_before_any_pass_the_assumed_speed_holds() -> None:
    """60 ms at 2,000 tokens/s are 120 tokens."""
    speed = SpeedEstimate(tokens_per_s=2000, expected_tokens=4096)
    assert speed.forward_ms(4096) == 2048
    assert speed.tokens_within(60) == 120


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 100)), max_size=60), st.floats(0, 1e4))
def test_any_history_gives_a_usable_model(history: list[tuple[int, float]], ms: float) -> None:
    """Times and slope stay positive, a pass always has room for a token, and longer passes hold no fewer tokens."""
    speed = SpeedEstimate(tokens_per_s=1000, expected_tokens=60)
    for n_tokens, seconds in history:
        speed.observe(n_tokens, seconds)
    assert speed.forward_ms(4096) > 0
    assert speed.ms_per_token > 0
    assert 1 <= speed.tokens_within(ms) <= speed.tokens_within(2 * ms)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([50, 1000, 100_000]),
    st.floats(0, 30),
    st.floats(0.005, 0.5),
    st.floats(0, 30),
    st.floats(0.005, 0.5),
)
def test_passes_come_to_last_as_long_as_asked(
    assumed_per_s: int, first_ms: float, first_slope: float, then_ms: float, then_slope: float
) -> None:
    """Whatever speed was assumed, full passes come to take about 60 ms. So they do again after the speed changes."""
    speed = SpeedEstimate(assumed_per_s, assumed_per_s * 60 // 1000)
    for fixed_ms, slope in [(first_ms, first_slope), (then_ms, then_slope)]:
        for _ in range(150):
            n_tokens = speed.tokens_within(60)
            speed.observe(n_tokens, (fixed_ms + slope * n_tokens) / 1000)
        assert fixed_ms + slope * speed.tokens_within(60) == pytest.approx(60, rel=0.25)


def test_the_token_budget_holds_on_a_fast_machine() -> None:
    """The bound in milliseconds never raises the token budget."""
    rows = scheduler(token_budget=100, max_batch_ms=60)
    rows.admit(call(1, *[10] * 500), 0.0)
    assert max(batch.n_tokens for batch in passes(rows, 40, seconds=lambda n: n * 1e-6)) == 100
    assert rows.pass_bound_tokens == 100


@pytest.mark.parametrize(("waiting", "expected"), [(50, 60), (200, 100), (5000, 480)])
def test_a_long_queue_of_interactive_rows_makes_longer_passes(waiting: int, expected: int) -> None:
    """At one token a millisecond: the bound, or half of what waits, at most eight times the bound."""
    rows = scheduler(token_budget=4096, max_batch_ms=60)
    rows.admit(call(1, *[1] * waiting), 0.0)
    assert rows.pass_bound_tokens == expected


def test_a_long_queue_of_batch_rows_does_not() -> None:
    """An interactive row that comes next waits only for a pass within the bound."""
    rows = scheduler(token_budget=4096, max_batch_ms=60)
    rows.admit(call(1, *[1] * 5000, priority="batch"), 0.0)
    assert rows.pass_bound_tokens == 60


def test_a_tenant_that_waits_little_keeps_passes_short() -> None:
    """One tenant's long queue lengthens no pass that a lone row of another tenant would wait for."""
    rows = scheduler(token_budget=4096, max_batch_ms=60)
    rows.admit(call(1, *[1] * 5000), 0.0)
    rows.admit(call(2, 1, tenant="light"), 0.0)
    assert rows.pass_bound_tokens == 60


def test_a_pass_that_batch_rows_lead_is_not_longer() -> None:
    """However many interactive rows wait, passes that batch rows lead stay within the bound."""
    rows = scheduler(token_budget=4096, max_batch_ms=60, batch_every=2)
    rows.admit(call(1, *[1] * 4000), 0.0)
    rows.admit(call(2, *[1] * 2000, priority="batch"), 0.0)
    assert [batch.n_tokens for batch in passes(rows, 4)] == [480, 60, 480, 60]


def test_a_queue_that_was_left_makes_no_longer_passes() -> None:
    """Rows that were cancelled or taken no longer count as waiting."""
    rows = scheduler(token_budget=4096, max_batch_ms=60)
    rows.admit(call(1, *[1] * 5000), 0.0)
    rows.cancel(1)
    assert rows.pass_bound_tokens == 60
    rows.admit(call(2, *[1] * 300), 0.0)
    assert [batch.n_tokens for batch in passes(rows, 4)] == [150, 75, 60, 15]


def test_a_parallel_pass_measures_what_all_cores_do() -> None:
    """Two parallel passes of 1,000 tokens/s each: 60 ms hold 120 tokens, and each pass gets half of them."""
    rows = scheduler(token_budget=4096, max_batch_ms=60)
    for key in range(200):
        rows.admit(call(key, *[10] * 30), 0.0)
        batch = rows.next_batch(0.0, n_parallel=2)
        rows.done(batch, batch.n_tokens * 1e-3)
        rest = rows.next_batch(0.0, n_parallel=2)
        while rest.items:
            rows.done(rest, rest.n_tokens * 1e-3)
            rest = rows.next_batch(0.0, n_parallel=2)
    assert rows.pass_bound_tokens == pytest.approx(120, rel=0.05)
    rows.admit(call(999, *[10] * 15), 0.0)
    assert rows.next_batch(0.0, n_parallel=2).n_tokens == 60


def test_a_parallel_pass_leaves_the_others_their_part() -> None:
    """Two parallel passes that may start share what waits. If only one may start, it takes all."""
    rows = scheduler(token_budget=4096, max_batch_ms=None)
    rows.admit(call(1, *[10] * 8), 0.0)
    assert rows.next_batch(0.0, n_parallel=2, n_free=2).n_tokens == 40
    assert rows.next_batch(0.0, n_parallel=2, n_free=1).n_tokens == 40


def test_one_row_of_a_long_window_does_not_slow_the_others_down() -> None:
    """Attention takes most of its time, so it is measured only when such rows follow one another."""
    rows = scheduler(token_budget=4096, max_batch_ms=60)
    rows.admit(call(1, *[30] * 100), 0.0)
    list(passes(rows, 60))
    usual = rows.pass_bound_tokens
    for key, n_tokens in enumerate((8192, 30, 8192)):
        rows.admit(call(2 + key, n_tokens), 0.0)
        list(passes(rows, 1, seconds=lambda n: 40.0 if n > 4096 else n / 1000))
        assert rows.pass_bound_tokens == pytest.approx(usual, rel=0.01)
    rows.admit(call(9, 8192), 0.0)
    list(passes(rows, 1, seconds=lambda _: 40.0))
    assert rows.pass_bound_tokens < usual / 2
