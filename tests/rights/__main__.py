"""Records the calls of the functions: `python -m tests.rights`. It starts a private stack and takes two minutes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from local import emulator, stack
from local.client import ApiClient
from local.run import make_artifacts
from local.workspace import ROOT, Workspace
from shared.catalog import load_catalog
from tests.rights.calls import RECORDING, to_json
from tests.stack.conftest import RunningStack
from tests.stack.replica import fake_replica
from tests.stack.test_rights import fresh_calls


def main() -> None:
    """Do everything on a private stack, and write the calls."""
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(ROOT, Path(home))
        make_artifacts(workspace)
        emulator.calls_file(workspace).touch()
        with fake_replica(load_catalog(ROOT / "catalog.toml"), workspace.call_keys) as replica_url:
            try:
                up = stack.up(workspace, replica_url)
                calls = fresh_calls(RunningStack(workspace, up, ApiClient(up.api_url)))
            finally:
                stack.down(workspace, forget=True)
    RECORDING.write_text(to_json(calls), encoding="utf-8")
    sys.stdout.write(f"{len(calls)} calls in {RECORDING.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
