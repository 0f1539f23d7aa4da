"""Figures in tables are short."""

from __future__ import annotations

from benchmarks.reporting.numbers import number


def test_numbers_are_short() -> None:
    """Large ones whole, small ones with three digits."""
    assert [number(x) for x in (15_040.0, 999.4, 0.012345)] == ["15,040", "999", "0.0123"]
