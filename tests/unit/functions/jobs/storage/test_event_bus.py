"""The bus: every implementation takes an event, whatever its words."""

from __future__ import annotations

from functions.jobs.storage.aws import Doors


def test_an_event_is_taken(doors: Doors) -> None:
    """Text of any script, nested values and nothing at all in the detail."""
    for detail in ({"job": "ü日😀", "counts": {"records": 1}, "manifest": None}, {}):
        doors.bus.put("Glossa Job Ended", detail)
