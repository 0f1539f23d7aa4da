"""The contract of store, objects and queue, on the emulator: the suites that memory and moto pass too.

What the emulator is known to do otherwise stands in `differences.py`, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.jobs.storage.aws import Doors, open_aws
from tests.stack.conftest import Standing
from tests.unit.functions.jobs.conftest import register
from tests.unit.functions.jobs.storage import test_objects, test_queue, test_table
from tests.unit.functions.jobs.storage.cloud import cloud
from tests.unit.functions.jobs.storage.test_objects import objects, put
from tests.unit.functions.jobs.storage.test_table import store

__all__ = ["objects", "put", "store"]  # fixtures
pytestmark = pytest.mark.stack
NEEDS = {"doors", "store", "objects"}


@pytest.fixture
def doors(standing: Standing, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """Open the doors onto the emulator, each test on a table, buckets and queues of its own."""
    register(request, "emulator")
    with cloud(monkeypatch, standing.stack.endpoint_url) as settings:
        yield open_aws(settings)


for _suite in (test_table, test_objects, test_queue):
    for _name, _test in vars(_suite).items():
        if _name.startswith("test_") and NEEDS & set(_test.__code__.co_varnames[: _test.__code__.co_argcount]):
            globals()[_name] = _test
