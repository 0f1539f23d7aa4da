"""The API over mini, as the pages call it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.http_server import serving
from tests.house.tree import ROOT
from tests.served import serve_catalog


@pytest.fixture(scope="session")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve mini over HTTP in this process, with its real weights."""
    root = tmp_path_factory.mktemp("served")
    shutil.copy(ROOT / "catalog.toml", root)
    (root / "checkpoints").symlink_to(ROOT / "checkpoints")
    _, api = serve_catalog(root / "catalog.toml")
    with serving(api) as found:
        yield found.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder where the commands of a page find what they need of the checkout, and nothing else."""
    for found in (*ROOT.glob(".venv*"), ROOT / "catalog.toml", ROOT / "checkpoints"):
        (tmp_path / found.name).symlink_to(found)
    return tmp_path
