"""The navigation of the site has every page of `docs/` once. The rule is a function over texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from tests.house.tree import ROOT, tracked

DOCS = "docs/"


def listed(navigation: Any) -> Iterator[str]:
    """Yield the pages of a navigation, with those of its sections."""
    if isinstance(navigation, str):
        yield navigation
        return
    for each in navigation.values() if isinstance(navigation, dict) else navigation:
        yield from listed(each)


def faults(settings: str, pages: Iterable[str]) -> list[str]:
    """Return each page that the navigation lacks, has twice, or has without its file."""
    # the base loader makes text of everything, so that a tag of mkdocs does no harm
    names = [f"{DOCS}{name}" for name in listed(yaml.load(settings, yaml.BaseLoader)["nav"])]  # noqa: S506 - likewise
    there = set(pages)
    lost = [f"{page}: not in the navigation of mkdocs.yml" for page in sorted(there - set(names))]
    return (
        lost
        + sorted({f"{name}: twice" for name in names if names.count(name) > 1})
        + sorted(f"{name}: no such page" for name in set(names) - there)
    )


def test_the_navigation_has_each_page() -> None:
    """Each page of docs/ stands in mkdocs.yml, once."""
    assert faults((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), tracked("docs/*.md", "docs/**/*.md")) == []


def test_a_page_without_a_place_is_found() -> None:
    """A page that is missing, twice, or gone is reported, in sections too."""
    settings = "nav:\n  - A: a.md\n  - More:\n      - b.md\n      - Again: a.md\nx: !!python/name:os.x\n"
    assert faults(settings, ["docs/a.md", "docs/c.md"]) == [
        "docs/c.md: not in the navigation of mkdocs.yml",
        "docs/a.md: twice",
        "docs/b.md: no such page",
    ]
