"""`make test` runs every test of the repository. Must not know what the tests check."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.house.tree import ROOT, tracked


def left_out(makefile: str, tests: Iterable[str]) -> list[str]:
    """Return the test files that no line of a Makefile hands to pytest by their folder."""
    folders = {word for line in re.findall(r"pytest (.*)", makefile) for word in line.split() if word[:6] == "tests/"}
    return [path for path in tests if not any(path.startswith(f"{folder}/") for folder in folders)]


def test_every_test_file_runs() -> None:
    """Each folder with test files stands in a line that `make test` runs."""
    assert left_out((ROOT / "Makefile").read_text(), tracked("tests/test_*.py", "tests/**/test_*.py")) == []


def test_a_forgotten_folder_is_found() -> None:
    """A test file in a folder that no line names is listed."""
    lines = "\t@$(RUN) pytest -n 2 tests/unit\n"
    assert left_out(lines, ["tests/unit/test_a.py", "tests/new/test_b.py"]) == ["tests/new/test_b.py"]
