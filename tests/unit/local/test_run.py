"""What `make run` prints at its end can be pasted into a shell."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from local.run import print_addresses
from local.stack import Stack
from local.workspace import Workspace


def test_the_address_is_exported_before_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line sets API, the next one is a curl command over it."""
    running = Stack("http://127.0.0.1:1/live", "", "", "", "", "", "")
    print_addresses(Workspace(tmp_path, tmp_path / "home"), running, Console(file=io.StringIO()))
    export, curl = capsys.readouterr().out.splitlines()
    assert export == "export API=http://127.0.0.1:1/live"
    assert shlex.split(curl)[:3] == ["curl", "-s", "$API/v1/text-classification"]
