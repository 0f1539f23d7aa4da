"""The figures of docs/speed.md, and of the verdict of RESULTS.md, are those of the detailed tables."""

from __future__ import annotations

import re

from tests.house.tree import ROOT

FIGURE = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?![\w-])")


def foreign(page: str, results: str) -> list[str]:
    """Return the figures in the tables of a page that the results do not have."""
    rows = (line for line in page.splitlines() if line.startswith("|"))
    known = set(FIGURE.findall(results))
    return [figure for row in rows for figure in FIGURE.findall(row) if figure not in known]


def test_every_figure_was_measured() -> None:
    """Each number in a table of the page stands in the results."""
    page, *results = (
        (ROOT / path).read_text(encoding="utf-8")
        for path in (
            "docs/speed.md",
            "benchmarks/RESULTS.md",
            "benchmarks/notes/tables.md",
            "benchmarks/notes/equality.md",
        )
    )
    assert foreign(page, "\n".join(results)) == []


def test_a_figure_of_nobody_is_found() -> None:
    """A number that was not measured is reported; text beside the tables is not read."""
    assert foreign("In 2026:\n| a | 4,927 | 0.18 s |\n| b | 4,928 |\n", "4,927 (4,845-5,077), 0.18") == ["4,928"]
