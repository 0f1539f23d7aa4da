"""The doors that contract suites run against: in memory, AWS as moto plays it, and an emulator if one stands.

`tests/stack` runs the same suites against the emulator of its stack.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.jobs.storage.aws import Doors, open_aws, open_memory
from tests.unit.functions.jobs.differences import DIFFERENCES
from tests.unit.functions.jobs.storage.cloud import ENDPOINT, cloud
from tests.unit.functions.jobs.world import Clock


@pytest.fixture(params=["memory", "moto", *(["emulator"] if ENDPOINT else [])])
def doors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """Yield each implementation of the doors in turn."""
    if request.param == "memory":
        yield open_memory(Clock())
        return
    register(request, request.param)
    with cloud(monkeypatch, ENDPOINT if request.param == "emulator" else None) as settings:
        yield open_aws(settings)


def register(request: pytest.FixtureRequest, double: str) -> None:
    """Apply what is known of a double to the test that is about to run on it."""
    known = DIFFERENCES.get((double, request.node.originalname))
    if known is None:
        return
    if known.kind == "races":
        pytest.skip(known.reason)
    request.applymarker(pytest.mark.xfail(reason=known.reason, strict=True))
