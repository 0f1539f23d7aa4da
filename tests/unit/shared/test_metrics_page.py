"""The page of metrics is what the registry says."""

from __future__ import annotations

from pathlib import Path

from shared.metrics import METRICS
from shared.metrics_page import page

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_is_made_from_the_registry() -> None:
    """docs/metrics.md is up to date. `python -m shared.metrics_page > docs/metrics.md` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_each_metric_is_on_the_page_once() -> None:
    """Each metric has exactly one row."""
    rows = [line.split("`")[1] for line in page().splitlines() if line.startswith("| `")]
    assert sorted(name for name in rows if name in METRICS) == sorted(METRICS)
