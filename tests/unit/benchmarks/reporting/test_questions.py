"""RESULTS.md answers each question with one table, and every figure in it is one of the kept results."""

from __future__ import annotations

from typing import Any

from benchmarks.reporting.questions import QUESTIONS, question_lines
from benchmarks.reporting.tables import DETAILS, FOLDER, PAGE, kept_results, section_lines

GOALS = [
    {"goal": "share of the limit", "value": 0.8, "target": 0.65, "ok": True},
    {"goal": "times a peer", "value": 1.2, "target": 1.5, "ok": False},
]


def _row(system: str, value: float, metric: str = "tokens/s") -> dict[str, Any]:
    return {"system": system, "metric": metric, "value": value, "low": value, "high": value}


def _kept(*rows: dict[str, Any]) -> dict[str, Any]:
    report = {"benchmark": "b", "workload": "w", "machine": "two cores", "rows": list(rows), "goals": GOALS}
    return {"engine-base": {"command": "c", "date": "d", "load_average": 0.5, "reports": [report]}}


def test_a_cell_is_the_best_of_the_systems_of_its_column() -> None:
    """The line has the figures, the share of the limit, the date and the command; the machine stands above."""
    rows = (_row("glossa bfloat16", 5000.0), _row("transformers x", 10.0), _row("transformers y", 20.0))
    made = list(question_lines(_kept(*rows)))
    assert "| w | 5,000 |  |  | 20 |  |  | 0.8 | d | `c` |" in made
    assert any("two cores" in line for line in made)


def test_machines_are_told_apart() -> None:
    """Runs on several machines share a table, and each line names its own."""
    here = _kept(_row("glossa bfloat16", 5000.0))["engine-base"]
    there = {**here, "reports": [{**here["reports"][0], "machine": "four cores, X; torch"}]}
    made = list(question_lines({"engine-base": here, "x/engine-base": there}))
    assert [line.split(" | ")[0] for line in made if "w (" in line] == ["| w (two cores)", "| w (four cores, X)"]


def test_a_missed_goal_is_named() -> None:
    """A goal that is met stands in the detailed tables alone."""
    made = list(question_lines(_kept(_row("glossa bfloat16", 5000.0))))
    assert [line for line in made if "speed over a peer" in line] == [
        "| Engine alone: base, classification | speed over a peer, times | 1.2 | 1.5 |"
    ]


def test_a_question_that_nothing_answers_is_left_out() -> None:
    """A picture stands below the table that it belongs to, and only if it was drawn."""
    made = list(question_lines(_kept(_row("glossa bfloat16", 1.0)), pictures=("share-of-limit",)))
    assert [line for line in made if line.startswith("## ")] == [
        f"## {QUESTIONS[0].title}",
        "## Which goals are missed?",
    ]
    assert any("results/share-of-limit.png" in line for line in made)


def test_the_pages_are_made_from_the_kept_results() -> None:
    """Nobody has edited a figure, and none was forgotten."""
    kept = kept_results()
    pictures = [path.stem for path in FOLDER.glob("*.png")]
    for page, made in ((PAGE, question_lines(kept, pictures=pictures)), (DETAILS, section_lines(kept))):
        assert "\n".join(made) in page.read_text(encoding="utf-8")
