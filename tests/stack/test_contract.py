"""The contracts of table, objects and queue on the emulator. The memory and moto adapters pass the same tests.

`differences.py` lists what the emulator does differently, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.conftest import RunningStack
from tests.unit.functions.jobs.conftest import register
from tests.unit.functions.jobs.storage import test_objects, test_queue, test_table
from tests.unit.functions.jobs.storage.cloud import cloud, on_aws
from tests.unit.functions.jobs.storage.test_objects import objects, put
from tests.unit.functions.jobs.storage.test_table import table
from tests.unit.functions.jobs.wiring import Effects

__all__ = ["objects", "put", "table"]  # fixtures
pytestmark = pytest.mark.stack
NEEDS = {"effects", "table", "objects"}


@pytest.fixture
def effects(
    running: RunningStack, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Effects]:
    """Make the adapters to the emulator. Each test has a table, buckets and queues of its own."""
    register(request, "emulator")
    with cloud(monkeypatch, running.stack.endpoint_url) as settings:
        yield on_aws(settings)


for _suite in (test_table, test_objects, test_queue):
    for _name, _test in vars(_suite).items():
        if _name.startswith("test_") and NEEDS & set(_test.__code__.co_varnames[: _test.__code__.co_argcount]):
            globals()[_name] = _test
