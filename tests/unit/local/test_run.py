"""What `make run` prints at its end can be pasted into a shell, and names the pages that are there."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from local.run import check_environments, print_addresses
from local.stack import Stack
from local.workspace import ROOT, Workspace
from shared.catalog import load_catalog
from tests.loopback import serving


def pages(request: SentRequest) -> Reply:
    """Answer as an API that has a page at `/docs` and none at `/`."""
    return Reply(200 if request.path == "/live/docs" else 404, {}, b"")


def test_the_address_is_exported_before_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line sets API, the next one is a curl command over it. A page that does not answer is not named."""
    out, catalog = io.StringIO(), load_catalog(ROOT / "catalog.toml")
    with serving(pages) as (url, _):
        api_url = f"{url}/live"
        running = Stack(api_url, "", "", "", "", "", "")
        print_addresses(running, catalog, Console(file=out, width=120), Workspace(tmp_path, tmp_path / "home"))
    export, curl = capsys.readouterr().out.splitlines()
    assert export == f"export API={api_url}"
    assert shlex.split(curl)[:3] == ["curl", "-s", "$API/v1/text-classification"]
    shown = out.getvalue()
    assert f"API            {api_url}\n" in shown
    assert f"API reference  {api_url}/docs\n" in shown
    assert "playground" not in shown
    assert "home/run/stack.json (all addresses)" in shown


def test_a_missing_environment_is_named(tmp_path: Path) -> None:
    """Before anything starts, a checkout without the environments says how to make them."""
    with pytest.raises(RuntimeError, match=r"got no \.venv-local and no \.venv-sam in .*; run `make setup`"):
        check_environments(Workspace(tmp_path, tmp_path))
