"""Our packages come from this checkout. Some wheels install stray folders with the same names, and ours must win."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.house.tree import ROOT


def is_inside(origin: str | None, root: Path) -> bool:
    """Tell whether a package with an `__init__.py` lies below the root."""
    return origin is not None and Path(origin).is_relative_to(root)


@pytest.mark.parametrize("name", ["shared", "functions", "serve", "tests", "glossa", "local"])
def test_our_packages_resolve_inside_the_checkout(name: str) -> None:
    """The interpreter finds our package under this name."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert is_inside(spec.origin, ROOT)


def test_a_package_from_elsewhere_is_found(tmp_path: Path) -> None:
    """A package of the environment, and a folder without `__init__.py`, do not pass."""
    spec = importlib.util.find_spec("pytest")
    assert spec is not None
    assert not is_inside(spec.origin, ROOT / "tests")
    assert not is_inside(None, ROOT)
    assert not is_inside(str(tmp_path / "shared/__init__.py"), ROOT)
