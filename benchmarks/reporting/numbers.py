"""Prints figures for tables. Must not know what a figure is of."""

from __future__ import annotations

EXACT_FROM = 1000.0


def number(value: float) -> str:
    """Return a figure with three significant digits, or as a whole number from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= EXACT_FROM else f"{value:.3g}"
