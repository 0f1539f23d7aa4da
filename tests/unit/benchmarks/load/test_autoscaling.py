"""Replicas follow the load no sooner than Ray lets them, and no call is lost on the way."""

from __future__ import annotations

import pytest

from benchmarks.load.autoscaling import Policy, follow, outcome

POLICY = Policy(minimum=2, maximum=10, replica_per_s=60.0, call_s=0.05, ready_s=60.0)


def test_a_load_that_fits_changes_nothing() -> None:
    """Two replicas answer 100 calls a second at once."""
    found = list(follow([100.0] * 600, POLICY))
    assert {each.n_ready for each in found} == {2}
    assert all((each.answered, each.refused, each.wait_s) == (100.0, 0.0, 0.0) for each in found)


def test_every_call_is_answered_refused_or_waits() -> None:
    """Nothing gets lost, and nothing is answered twice."""
    load = [100.0] * 60 + [500.0] * 300 + [0.0] * 60
    found = list(follow(load, POLICY))
    assert sum(each.answered + each.refused for each in found) + found[-1].waiting == pytest.approx(sum(load))


def test_new_replicas_come_after_the_delay_and_their_start() -> None:
    """Nothing is wanted before the queue is long for 10 s, and nothing answers before 60 s more."""
    found = list(follow([100.0] * 10 + [400.0] * 290, POLICY))
    wanted = next(each.at_s for each in found if each.n_wanted > 2)
    ready = next(each.at_s for each in found if each.n_ready > 2)
    assert wanted >= 10 + 10 - 1
    assert ready == wanted + 60
    assert found[-1].refused == 0


def test_no_more_than_the_most_ever_run() -> None:
    """A load that nothing can answer is refused for the rest."""
    found = list(follow([5000.0] * 600, POLICY))
    assert max(each.n_ready for each in found) == 10
    assert found[-1].refused == pytest.approx(5000 - 600)


def test_replicas_go_after_five_quiet_minutes_and_not_before() -> None:
    """When the load has ended, they stay for 300 s."""
    found = list(follow([600.0] * 400 + [10.0] * 800, POLICY))
    most = max(each.n_ready for each in found)
    gone = next(each.at_s for each in found if each.at_s > 400 and each.n_ready < most)
    assert most > 2
    assert gone >= 400 + 299
    assert found[-1].n_ready == 2


def test_the_outcome_counts_each_bad_second() -> None:
    """A step of load leaves callers waiting until replicas are there."""
    calm, step = (outcome(list(follow(load, POLICY))) for load in ([100.0] * 300, [100.0] * 10 + [400.0] * 290))
    assert (calm.refused_share, calm.behind_s, calm.longest_wait_s) == (0.0, 0.0, 0.0)
    assert 0 < step.refused_share < 1
    assert step.behind_s >= 60
    with pytest.raises(ValueError, match="got no seconds"):
        outcome([])
