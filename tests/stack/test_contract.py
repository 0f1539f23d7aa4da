"""The contract of store, objects and queue, on the emulator: the suites that memory and moto pass too.

What the emulator is known to do otherwise stands in `differences.py`, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.batch.doors import Doors, open_aws
from tests.stack.conftest import Standing
from tests.unit.functions.batch import test_objects, test_queue, test_store
from tests.unit.functions.batch.cloud import cloud
from tests.unit.functions.batch.conftest import register
from tests.unit.functions.batch.test_objects import objects, put
from tests.unit.functions.batch.test_store import store

__all__ = ["objects", "put", "store"]  # fixtures
pytestmark = pytest.mark.stack
NEEDS = {"doors", "store", "objects"}


@pytest.fixture
def doors(standing: Standing, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """Open the doors onto the emulator, each test on a table, buckets and queues of its own."""
    register(request, "emulator")
    with cloud(monkeypatch, standing.stack.endpoint_url) as settings:
        yield open_aws(settings)


for _suite in (test_store, test_objects, test_queue):
    for _name, _test in vars(_suite).items():
        if _name.startswith("test_") and NEEDS & set(_test.__code__.co_varnames[: _test.__code__.co_argcount]):
            globals()[_name] = _test
