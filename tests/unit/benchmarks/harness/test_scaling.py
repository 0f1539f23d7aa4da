"""A report on more cores says which speeds were measured."""

from __future__ import annotations

import pytest

from benchmarks.harness.scaling import scaling_report


def test_measured_and_simulated_speeds_stand_apart() -> None:
    """One and two cores are measured, more are computed."""
    report = scaling_report("w", {1: [90.0, 100.0, 110.0], 2: [200.0]}, [4], 0.0)
    assert [(row.system, row.metric, round(row.value)) for row in report.rows] == [
        ("1 core, measured", "tokens/s", 100),
        ("2 cores, measured", "tokens/s", 200),
        ("4 cores, simulated", "tokens/s", 400),
        ("1 core, measured", "times one core", 1),
        ("2 cores, measured", "times one core", 2),
        ("4 cores, simulated", "times one core", 4),
    ]


def test_a_machine_with_one_core_is_not_enough() -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"got no speed on \[2\] cores"):
        scaling_report("w", {1: [100.0]}, [4], 0.0)


def test_latencies_are_of_each_class() -> None:
    """With classes the rows are latencies, all of them simulated."""
    report = scaling_report("w", {1: [1000.0], 2: [2000.0]}, [], 0.0, [10, 20], lambda _: "short")
    assert {row.metric for row in report.rows} == {"p50 ms", "p99 ms"}
    assert all("simulated" in row.system for row in report.rows)
