"""The page on adding a task shows files as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("part", ["schemas", "assemble"])
def test_the_page_shows_the_file_as_it_is(part: str) -> None:
    """The diff on the page is the whole file, line by line."""
    path = f"functions/pipeline/{part}/sentence_similarity.py"
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    assert "\n".join([f"+++ {path}", *(f"+{line}" for line in lines)]) + "\n```" in PAGE


def test_the_page_shows_the_line_of_the_catalog() -> None:
    """The line by which a head does the task stands in the catalog that ships."""
    assert '+also = ["sentence-similarity"]' in PAGE
    assert 'also = ["sentence-similarity"]' in (ROOT / "catalog.toml").read_text(encoding="utf-8")
