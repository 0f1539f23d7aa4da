"""A fleet behaves as queueing theory says, where theory has an answer, and as Ray routes, where it has none."""

from __future__ import annotations

import math
from statistics import mean

import pytest

from benchmarks.load.fleet import Fleet, latencies_s

ONE_CALL = 1  # tokens of a pass: too few for a second call
LENGTH, SPEED = 100, 1000.0  # a pass over one call takes 0.1 s
# Quantiles of the exponential distribution with a mean of LENGTH tokens.
EXPONENTIAL = [max(1, round(-1000 * math.log(1 - (n + 0.5) / 2000))) for n in range(2000)]


def erlang_c(n_servers: int, offered: float) -> float:
    """Return the share of calls that wait in the M/M/c queue."""
    terms = [offered**k / math.factorial(k) for k in range(n_servers)]
    last = offered**n_servers / math.factorial(n_servers) * n_servers / (n_servers - offered)
    return last / (sum(terms) + last)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.85])
def test_one_replica_with_equal_calls_is_the_m_d_1_queue(load: float) -> None:
    """Calls wait rho / (2 (1 - rho)) of their own time in the mean (Pollaczek-Khinchine)."""
    fleet = Fleet(1, SPEED, budget_tokens=ONE_CALL)
    found = list(latencies_s([LENGTH], fleet, per_s=load * 10, n_calls=60_000))
    assert mean(found) == pytest.approx(0.1 * (1 + load / (2 * (1 - load))), rel=0.04)


@pytest.mark.parametrize(("n_replicas", "load"), [(1, 0.7), (4, 0.7), (16, 0.85)])
def test_replicas_at_one_queue_are_the_m_m_c_queue(n_replicas: int, load: float) -> None:
    """The mean wait is that of Erlang's C formula."""
    fleet = Fleet(n_replicas, 10_000.0, budget_tokens=ONE_CALL, routing="one queue")
    service_s = mean(EXPONENTIAL) / 10_000.0
    per_s = load * n_replicas / service_s
    waits = erlang_c(n_replicas, load * n_replicas) / (n_replicas / service_s - per_s)
    found = mean(latencies_s(EXPONENTIAL, fleet, per_s=per_s, n_calls=80_000))
    assert found == pytest.approx(service_s + waits, rel=0.06)


def test_two_choices_lie_between_one_queue_and_one_replica() -> None:
    """Choosing the shorter of two queues costs more than one queue, and much less than queues by themselves."""
    per_s = 0.85 * 8 * 10
    one, two = (
        mean(latencies_s([LENGTH], Fleet(8, SPEED, 0.0, ONE_CALL, routing), per_s=per_s, n_calls=30_000))
        for routing in ("one queue", "two choices")
    )
    alone = mean(latencies_s([LENGTH], Fleet(1, SPEED, 0.0, ONE_CALL), per_s=per_s / 8, n_calls=30_000))
    assert one < two < 0.7 * alone


def test_passes_over_many_calls_save_nothing_but_waits() -> None:
    """A call that comes alone takes its own time, whatever the budget is."""
    found = list(latencies_s([LENGTH], Fleet(2, SPEED, 0.01), per_s=0.01, n_calls=50))
    assert found == pytest.approx([0.11] * 50)


def test_every_call_is_answered_once_and_the_seed_decides() -> None:
    """The same seed gives the same latencies; another seed gives others."""
    fleet = Fleet(3, SPEED)
    one, again, other = (list(latencies_s([50, 150], fleet, per_s=20, n_calls=2000, seed=n)) for n in (1, 1, 2))
    assert len(one) == 2000
    assert one == again != other


def test_more_than_a_fleet_can_answer_is_refused() -> None:
    """Its queue would grow for ever. The error says what it can answer."""
    with pytest.raises(ValueError, match="got 20 calls/s, expected fewer than the 20 "):
        list(latencies_s([LENGTH], Fleet(2, SPEED), per_s=20.0))
