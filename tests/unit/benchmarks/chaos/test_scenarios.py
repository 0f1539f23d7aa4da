"""Scenarios are whole: their steps fit into their time, and their holds are on figures that exist."""

from __future__ import annotations

from dataclasses import fields

import pytest

from benchmarks.chaos.figures import Figures
from benchmarks.chaos.holds import Hold, at_least, at_most, judge
from benchmarks.chaos.scenarios import MAKERS, scenario

NAMES = {each.name for each in fields(Figures)}


@pytest.mark.parametrize("name", MAKERS)
def test_every_scenario_is_whole(name: str) -> None:
    """Its name is its own, each hold is on a figure, and each step lies in the time in which something is broken."""
    found = scenario(name)
    assert found.name == name
    assert {hold.figure for hold in found.holds} <= NAMES
    assert all(0 <= step.at_s <= found.seconds for step in found.steps)
    assert any(hold.figure == "n_wrong" and hold.bound == 0 for hold in found.holds)
    assert (found.per_s is None) != (found.peak_share is None)


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"soak"}))
def test_every_scenario_breaks_something(name: str) -> None:
    """A scenario without a fault would prove nothing."""
    assert any(step.is_fault for step in scenario(name).steps)


def test_the_time_of_a_scenario_may_be_given() -> None:
    """What is killed every 30 s is killed three times in 90 s, and what ends at the end ends later."""
    assert [step.at_s for step in scenario("kill-replica", 90.0).steps] == [0.0, 30.0, 60.0]
    assert [step.at_s for step in scenario("stall-replica", 90.0).steps] == [0.0, 90.0]


def test_an_unknown_scenario_is_refused_with_those_there_are() -> None:
    """The error lists the names."""
    with pytest.raises(ValueError, match=r"got scenario 'nope', expected one of kill-only-replica"):
        scenario("nope")


def test_a_hold_is_kept_or_broken_by_its_figure() -> None:
    """A bound is kept by its own value. What was not measured breaks only what must happen."""
    measured = Figures(**dict.fromkeys(NAMES, None) | {"success": 0.999, "notice_s": 10.1})  # type: ignore[arg-type] # a part
    holds = [
        at_least("success", 0.999), at_most("notice_s", 10.0), at_most("recover_s", 1.0),
        at_least("goodput_share", 0.9, must_happen=True),
    ]  # fmt: skip
    assert [verdict.kept for verdict in judge(holds, measured)] == [True, False, True, False]
    assert str(holds[1]) == "notice_s <= 10"


def test_a_hold_on_no_figure_is_a_bug() -> None:
    """It is not taken as kept."""
    with pytest.raises(AttributeError):
        list(judge([Hold("nothing", "<=", 1.0)], Figures(**dict.fromkeys(NAMES))))  # type: ignore[arg-type] # empty
