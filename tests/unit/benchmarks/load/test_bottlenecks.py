"""The tightest part is named first."""

from __future__ import annotations

import pytest

from benchmarks.load.bottlenecks import Part, first, full, in_order, open_at_once

PARTS = [Part("wide", 1000.0, "", ""), Part("tight", 10.0, "", ""), Part("middle", 100.0, "", "")]


def test_parts_fill_in_the_order_of_what_they_let_pass() -> None:
    """At 100 requests a second, the middle part lets all of them pass."""
    assert [part.name for part in in_order(PARTS)] == ["tight", "middle", "wide"]
    assert first(PARTS).name == "tight"
    assert [part.name for part in full(PARTS, 100.0)] == ["tight"]
    assert [part.name for part in full(PARTS, 101.0)] == ["tight", "middle"]


def test_a_way_without_parts_is_refused() -> None:
    """Nothing would bound it."""
    with pytest.raises(ValueError, match="no parts"):
        first([])


def test_requests_open_at_once_follow_little() -> None:
    """A thousand a second that take 50 ms are 50 at once."""
    assert open_at_once(1000.0, 0.05) == pytest.approx(50.0)
