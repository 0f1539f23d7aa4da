"""The stores that the tests of the contracts run on: in memory, AWS as moto imitates it, and an emulator if one runs.

`tests/stack` runs the same tests against the emulator of its stack.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.functions.jobs.differences import DIFFERENCES
from tests.unit.functions.jobs.storage.cloud import ENDPOINT, cloud, on_aws
from tests.unit.functions.jobs.wiring import Effects, in_memory
from tests.unit.functions.jobs.world import Clock


@pytest.fixture(params=["memory", "moto", *(["emulator"] if ENDPOINT else [])])
def effects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Effects]:
    """Yield each implementation of the contracts in turn."""
    if request.param == "memory":
        yield in_memory(Clock())
        return
    register(request, request.param)
    with cloud(monkeypatch, ENDPOINT if request.param == "emulator" else None) as settings:
        yield on_aws(settings)


def register(request: pytest.FixtureRequest, double: str) -> None:
    """Apply a known difference of an imitation of AWS to the test that is about to run on it."""
    known = DIFFERENCES.get((double, request.node.originalname))
    if known is None:
        return
    if known.kind == "races":
        pytest.skip(known.reason)
    request.applymarker(pytest.mark.xfail(reason=known.reason, strict=True))
