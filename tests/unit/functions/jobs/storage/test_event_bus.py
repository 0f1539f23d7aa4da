"""The bus: every implementation takes an event, whatever its words."""

from __future__ import annotations

from tests.unit.functions.jobs.wiring import Effects


def test_an_event_is_taken(effects: Effects) -> None:
    """Text of any script, nested values and nothing at all in the detail."""
    for detail in ({"job": "ü日😀", "counts": {"records": 1}, "manifest": None}, {}):
        effects.event_bus.put("Glossa Job Ended", detail)
