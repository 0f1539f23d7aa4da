"""A small job on a fleet whose processes are killed. `make prove` does this with ten thousand records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import emulator
from local.workspace import ROOT, Workspace
from tests.killed.run import compare
from tests.unit.functions.jobs.storage.cloud import REGION

pytestmark = pytest.mark.stack


@pytest.fixture
def endpoint(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start an emulator, and name it in the environment."""
    workspace = Workspace(ROOT, tmp_path_factory.mktemp("killed"))
    try:
        address = emulator.start(workspace)
        for name, value in emulator.CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield address
    finally:
        emulator.stop(workspace)


def test_a_job_whose_workers_are_killed_ends_as_one_left_alone(endpoint: str) -> None:
    """Records, order, labels and scores are the same, the counters are exact, and there is one manifest."""
    calm, killed, differing = compare(240, seed=3, speed=60.0)  # enough shards that a kill meets a worker at work
    assert not differing, f"{differing}\n{calm}\n{killed}"
    assert sum(killed.deaths.values()) > 0
