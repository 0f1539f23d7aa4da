"""The contract of an event bus, run on every implementation."""

from __future__ import annotations

from tests.unit.functions.jobs.wiring import Effects


def test_an_event_is_taken(effects: Effects) -> None:
    """The detail may hold text of any script, nested values, or nothing."""
    for detail in ({"job": "ü日😀", "counts": {"records": 1}, "manifest": None}, {}):
        effects.event_bus.put("Glossa Job Ended", detail)
