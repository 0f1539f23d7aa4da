"""The doors that contract suites run against: in memory, and AWS as moto plays it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.batch.doors import Doors, open_aws, open_memory
from tests.unit.functions.batch.cloud import cloud
from tests.unit.functions.batch.world import Clock


@pytest.fixture(params=["memory", "moto"])
def doors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """Yield each implementation of the doors in turn."""
    if request.param == "memory":
        yield open_memory(Clock())
        return
    with cloud(monkeypatch) as settings:
        yield open_aws(settings)
