"""The tables of notes/tables.md are made from kept results, and everything around them stays."""

from __future__ import annotations

from typing import Any

from benchmarks.reporting.tables import BEGIN, END, replace_section, section_lines

ROW = {"system": "ours", "metric": "tokens/s", "value": 12_345.6, "low": 12_000.0, "high": 13_000.0}


def _kept(*rows: dict[str, Any]) -> dict[str, Any]:
    report = {"benchmark": "b", "workload": "w", "machine": "m", "rows": list(rows)}
    goals = [
        {"goal": "times a peer", "value": 1.234, "target": 1.5, "ok": False},
        {"goal": "peak MiB after plan", "value": 50.0, "target": 200.0, "ok": True},
    ]
    return {"x": {"command": "c", "date": "d", "load_average": 0.5, "reports": [{**report, "goals": goals}]}}


def test_a_section_is_replaced_in_its_place() -> None:
    """Text before and after the marks stays, however often the section is made."""
    once = replace_section("# Page\n\ntext\n", "one") + "\n## After\n"
    twice = replace_section(replace_section(once, "two"), "three")
    assert twice == f"# Page\n\ntext\n\n{BEGIN}\nthree\n{END}\n## After\n"


def test_rows_become_a_table_with_their_spread() -> None:
    """The shorter side makes the columns, and headings are in plain words."""
    lines = list(section_lines(_kept(ROW, {**ROW, "system": "theirs", "value": 2.0, "low": 2.0, "high": 2.0})))
    assert "| system | tokens per second |" in lines
    assert "| ours | 12,346 (12,000-13,000) |" in lines
    assert "| theirs | 2 |" in lines


def test_a_missed_goal_says_so() -> None:
    """Each goal has its figure and its target beside it."""
    lines = list(section_lines(_kept(ROW)))
    assert "| speed over a peer, times | 1.23 | at least 1.5 | **no** |" in lines
    assert "| peak memory after plan, MiB | 50 | at most 200 | yes |" in lines


def test_many_metrics_stand_below_each_other() -> None:
    """Three metrics of one system make three lines."""
    lines = list(section_lines(_kept(*({**ROW, "metric": f"m{n}"} for n in range(3)))))
    assert "| figure | ours |" in lines
    assert sum(line.startswith("| m") for line in lines) == 3
