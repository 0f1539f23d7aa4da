"""One private stack for the tests of this folder: own home, own ports, and a fake replica."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local import deploy, emulator, stack
from local.client import ApiClient
from local.run import make_artifacts
from local.workspace import ROOT, Workspace
from shared.catalog import load_catalog
from tests.stack.replica import fake_replica


@dataclass(frozen=True)
class RunningStack:
    """A running stack, and clients of it."""

    workspace: Workspace
    stack: stack.Stack
    api: ApiClient

    def client(self, service: str) -> Any:
        """Return a boto3 client of its emulator."""
        return deploy.client(self.workspace, service)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace of this checkout with a home of its own, and make its tokenizer files."""
    found = Workspace(ROOT, tmp_path_factory.mktemp("stack"))
    make_artifacts(found)
    emulator.calls_file(found).touch()  # the emulator writes the calls of the functions there
    return found


@pytest.fixture(scope="session")
def running(workspace: Workspace) -> Iterator[RunningStack]:
    """Start the whole local stack with a fake replica. Stop it after the last test."""
    with fake_replica(load_catalog(ROOT / "catalog.toml"), workspace.call_keys) as replica_url:
        try:
            up = stack.up(workspace, replica_url)
            yield RunningStack(workspace, up, ApiClient(up.api_url))
        finally:
            stack.down(workspace, forget=True)
