"""Checks that the README and the pages below `docs/` speak of the tree as it is. `tests/house` checks their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, tracked

FILES = frozenset(tracked())
FOLDERS = frozenset(f"{parent}/" for path in FILES for parent in Path(path).parents if parent != Path())
PAGES = sorted(path for path in FILES if re.fullmatch(r"README\.md|docs/[^/]+\.md", path))  # decisions tell history
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MAX_README_LINES = 150
TREE_LEVELS = 2  # that the tree shows of every folder; it may show more
STAGES = "route -> tokenize -> pack_calls -> infer -> assemble"

NAMED = re.compile(r"`([\w.-]+/[\w./{},-]*)`")  # a path in backticks, below a folder
BRACES = re.compile(r"\{([^{}]*)\}")
TREE = re.compile(r"^## The tree\n+```\n(.*?)^```", re.MULTILINE | re.DOTALL)
TREE_LINE = re.compile(r"(?P<indent> *)(?P<name>\S+) +\S")


def expand(name: str) -> Iterator[str]:
    """Yield each path that a name with `{a,b}` stands for."""
    match = BRACES.search(name)
    if match is None:
        yield name
        return
    for choice in match[1].split(","):
        yield from expand(name[: match.start()] + choice + name[match.end() :])


def named_paths(text: str) -> Iterator[str]:
    """Yield the paths in backticks that start with a folder of the repository."""
    for name in NAMED.findall(text):
        if f"{name.split('/')[0]}/" in FOLDERS:
            yield from expand(name)


def tree_paths() -> list[str]:
    """Return the paths of the tree in the architecture page, folders with a slash at their end."""
    tree = TREE.search(ARCHITECTURE.read_text(encoding="utf-8"))
    assert tree is not None
    parents: list[str] = []
    found = []
    for line in tree[1].splitlines():
        match = TREE_LINE.match(line)
        assert match is not None, line
        parents[len(match["indent"]) // 2 :] = [match["name"]]
        found.append("".join(parents))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_named_path_exists(page: str) -> None:
    """A path in backticks below one of our folders is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in named_paths(text) if not (ROOT / name).exists()] == []


def test_the_tree_shows_every_folder() -> None:
    """The tree of the architecture page shows all folders of two levels."""
    real = {folder for folder in FOLDERS if folder.count("/") <= TREE_LEVELS}
    assert sorted(real - set(tree_paths())) == []


def test_the_tree_shows_nothing_else() -> None:
    """Every folder and file in the tree of the architecture page is there."""
    assert [path for path in tree_paths() if path not in FOLDERS | FILES] == []


def test_the_readme_is_short() -> None:
    """The README has fewer than 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < MAX_README_LINES


@pytest.mark.parametrize("path", ["README.md", "docs/architecture.md", "functions/pipeline/pipeline.py"])
def test_the_stages_are_named_alike(path: str) -> None:
    """README, architecture page and the pipeline name the five stages in the same words."""
    assert STAGES in (ROOT / path).read_text(encoding="utf-8")
