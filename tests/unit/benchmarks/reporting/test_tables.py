"""The speed section of RESULTS.md: made from what was kept, everything around it untouched."""

from __future__ import annotations

from typing import Any

from benchmarks.reporting.tables import BEGIN, END, number, replaced, section

ROW = {"system": "ours", "metric": "tokens/s", "value": 12_345.6, "low": 12_000.0, "high": 13_000.0}


def _kept(*rows: dict[str, Any]) -> dict[str, Any]:
    report = {"benchmark": "b", "workload": "w", "machine": "m", "rows": list(rows)}
    promise = {"goal": "times a peer", "value": 1.234, "target": 1.5, "ok": False}
    return {"x": {"command": "c", "date": "d", "load_average": 0.5, "reports": [{**report, "goals": [promise]}]}}


def test_a_section_is_replaced_in_its_place() -> None:
    """What stands before and after the marks stays, however often it is made."""
    once = replaced("# Page\n\ntext\n", "one") + "\n## After\n"
    twice = replaced(replaced(once, "two"), "three")
    assert twice == f"# Page\n\ntext\n\n{BEGIN}\nthree\n{END}\n## After\n"


def test_rows_become_a_table_with_their_spread() -> None:
    """The shorter side stands across, and a promise that fails says so."""
    lines = list(section(_kept(ROW, {**ROW, "system": "theirs", "value": 2.0, "low": 2.0, "high": 2.0})))
    assert "| system | tokens/s |" in lines
    assert "| ours | 12,346 (12,000-13,000) |" in lines
    assert "| theirs | 2 |" in lines
    assert "- **fails**: times a peer: 1.23 (target 1.5)" in lines


def test_many_metrics_stand_below_each_other() -> None:
    """Three metrics of one system make three lines."""
    lines = list(section(_kept(*({**ROW, "metric": f"m{n}"} for n in range(3)))))
    assert "| metric | ours |" in lines
    assert sum(line.startswith("| m") for line in lines) == 4


def test_numbers_are_short() -> None:
    """Large ones whole, small ones with three digits."""
    assert [number(x) for x in (15_040.0, 999.4, 0.012345)] == ["15,040", "999", "0.0123"]
