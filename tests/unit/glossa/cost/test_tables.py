"""Checks that docs/cost.md is what the calculator says."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.cost.prices import load_prices
from glossa.cost.tables import all_tables, fill, money

PAGE = Path(__file__).parents[4] / "docs" / "cost.md"


def test_the_page_holds_the_tables_of_the_shipped_prices() -> None:
    """Nobody edits a figure by hand: `glossa cost --write docs/cost.md` changes nothing."""
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load_prices()) == page


def test_a_changed_price_changes_the_page() -> None:
    """The comparison above can fail: another price gives another page."""
    prices = load_prices()
    dearer = prices.machine[0].model_copy(update={"dollars_per_hour": 9.0})
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, prices.model_copy(update={"machine": (dearer, *prices.machine[1:])})) != page


def test_a_page_without_marks_is_refused() -> None:
    """A page that has no place for the tables is left as it is."""
    with pytest.raises(ValueError, match="without the marks"):
        fill("# cost\n", load_prices())


def test_a_machine_that_was_not_measured_says_so() -> None:
    """Graviton has a price and no rate, so it has no dollars and no place in the tables of loads."""
    (row,) = [line for line in all_tables(load_prices()).splitlines() if line.startswith("| c8g.large (")]
    assert "not measured" in row


@pytest.mark.parametrize(
    ("dollars", "shown"), [(0.04468, "0.0447"), (3.456, "3.46"), (54.21, "54.2"), (1234.5, "1,234")]
)
def test_dollars_have_three_figures(dollars: float, shown: str) -> None:
    """A price on paper is not known to more than three figures."""
    assert money(dollars) == shown
