"""A small real retrieval task: paragraphs of an article in English find those of its French translation.

The article is that of `local/samples`, with a paragraph on each line. Needs the standard library alone. Must not know
who retrieves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DOCUMENTS = Path(__file__).parents[3] / "local" / "samples" / "documents"


def queries() -> Mapping[str, str]:
    """Return the English paragraphs by id."""
    return _paragraphs("en", "q")


def corpus() -> Mapping[str, str]:
    """Return the French paragraphs by id."""
    return _paragraphs("fr", "d")


def relevant() -> Mapping[str, str]:
    """Return the id of the one paragraph that each query should find."""
    return {query: query.replace("q", "d") for query in queries()}


def _paragraphs(lang: str, letter: str) -> dict[str, str]:
    lines = (DOCUMENTS / f"{lang}.finding-users.txt").read_text(encoding="utf-8").splitlines()
    return {f"{letter}{number}": line for number, line in enumerate(lines)}
