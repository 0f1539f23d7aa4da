"""Parallel passes without overhead behave as queueing theory says."""

from __future__ import annotations

from statistics import mean, median

import pytest

from benchmarks.load.queueing import latencies

LENGTHS = (20, 20, 20, 50, 400)


def test_one_pass_with_equal_rows_is_the_m_d_1_queue() -> None:
    """Rows of one length wait rho / (2 (1 - rho)) of their length in the mean (Pollaczek-Khinchine)."""
    found = [latency for _, latency in latencies([10], n_parallel=1, load=0.7, order="arrival", n_rows=200_000)]
    assert mean(found) == pytest.approx(10 * (1 + 0.7 / (2 * 0.3)), rel=0.03)


@pytest.mark.parametrize("order", ["arrival", "least left", "due"])
def test_a_row_alone_takes_its_own_time(order: str) -> None:
    """When hardly anything arrives, each row takes as long as it has tokens."""
    found = list(latencies(LENGTHS, n_parallel=2, load=1e-4, order=order, slack=4.0, n_rows=500))  # type: ignore[arg-type] # drawn
    assert median(latency / n_tokens for n_tokens, latency in found) == pytest.approx(1)


def test_every_row_ends_and_none_before_its_time() -> None:
    """As many rows end as arrived, and none ends sooner than one pass could compute it."""
    found = list(latencies(LENGTHS, n_parallel=2, load=0.9, order="least left", n_rows=5000))
    assert len(found) == 5000
    assert all(latency >= n_tokens * (1 - 1e-9) - 1e-6 for n_tokens, latency in found)


def test_short_rows_gain_by_going_first() -> None:
    """With the least work first, short rows end sooner than in order of arrival, and the mean of all is lower."""
    found = {
        order: list(latencies(LENGTHS, n_parallel=2, load=0.7, order=order, slack=4.0, n_rows=20_000))
        for order in ("arrival", "least left", "due")
    }
    short = {order: mean(latency for n, latency in rows if n == 20) for order, rows in found.items()}
    every = {order: mean(latency for _, latency in rows) for order, rows in found.items()}
    assert short["least left"] < short["due"] < short["arrival"]
    assert every["least left"] < every["due"] < every["arrival"]


def test_long_rows_lose_less_when_rows_go_by_due_time() -> None:
    """The longest rows wait less than with the least work first."""
    by_least, by_due = (
        max(
            latency
            for n, latency in latencies(LENGTHS, n_parallel=2, load=0.9, order=order, slack=4.0, n_rows=20_000)
            if n == 400
        )
        for order in ("least left", "due")
    )
    assert by_due < by_least
