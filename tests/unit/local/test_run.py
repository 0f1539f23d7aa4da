"""What `make run` prints at its end can be pasted into a shell."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from local.demo import can_show
from local.run import print_addresses
from local.stack import Stack
from local.workspace import ROOT, Workspace
from shared.catalog import load_catalog


def test_the_address_is_exported_before_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line sets API, the next one is a curl command over it."""
    running = Stack("http://127.0.0.1:1/live", "", "", "", "", "", "")
    print_addresses(Workspace(tmp_path, tmp_path / "home"), running, Console(file=io.StringIO()))
    export, curl = capsys.readouterr().out.splitlines()
    assert export == "export API=http://127.0.0.1:1/live"
    assert shlex.split(curl)[:3] == ["curl", "-s", "$API/v1/text-classification"]


def test_a_catalog_without_mini_is_not_shown() -> None:
    """The demonstration asks three heads of mini. Without them the stack runs all the same."""
    catalog = load_catalog(ROOT / "catalog.toml")
    assert can_show(catalog)
    mini = catalog.models["mini"]
    for models in ({"other": mini}, {"mini": mini.model_copy(update={"heads": {"topic": mini.heads["topic"]}})}):
        assert not can_show(catalog.model_copy(update={"models": models}))
