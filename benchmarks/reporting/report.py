"""Defines what a benchmark reports: rows of figures, and the goals they are compared with.

Prints a report as a table or as one JSON object. Must not know what was measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.reporting.machine import describe_machine

CANNOT_RUN = 2  # the exit status of a benchmark that lacks what it needs
TABLE = "{:<44}{:<30}{:>12}{:>12}{:>12}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one system over several rounds: `value` is the median, `low` and `high` are the extremes."""

    system: str
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of the project, the figure that was measured for it, and whether the figure meets the target."""

    goal: str
    value: float
    target: float
    ok: bool


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one benchmark."""

    benchmark: str
    workload: str
    rows: tuple[Row, ...]
    goals: tuple[Goal, ...]


def row_of(system: str, metric: str, rounds: Sequence[float]) -> Row:
    """Return the row of the figures of several rounds."""
    return Row(system, metric, statistics.median(rounds), min(rounds), max(rounds))


def at_least(goal: str, value: float, target: float) -> Goal:
    """Return a goal that is met when the figure is at least its target."""
    return Goal(goal, value, target, value >= target)


def at_most(goal: str, value: float, target: float) -> Goal:
    """Return a goal that is met when the figure is at most its target."""
    return Goal(goal, value, target, value <= target)


def options(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--quick", action="store_true", help="take under a minute; the figures are rough")
    return parser


def finish(reports: Sequence[Report], *, as_json: bool, show: Callable[[str], object] = print) -> int:
    """Print the reports. Return the exit status: 1 when a goal is missed, else 0."""
    machine = describe_machine()
    for report in reports:
        if as_json:
            show(json.dumps({**asdict(report), "machine": machine}))
        else:
            _print_table(report, machine, show)
    return 1 if any(not goal.ok for report in reports for goal in report.goals) else 0


def progress(text: str) -> None:
    """Print a line about the progress to standard error, so that the report stays alone on standard output."""
    print(text, file=sys.stderr, flush=True)


def _print_table(report: Report, machine: str, show: Callable[[str], object]) -> None:
    show(f"\n{report.benchmark}, {report.workload} ({machine})")
    show(TABLE.format("system", "metric", "median", "low", "high"))
    for row in report.rows:
        show(TABLE.format(row.system, row.metric, *(f"{x:,.4g}" for x in (row.value, row.low, row.high))))
    for goal in report.goals:
        show(f"  {'met' if goal.ok else 'MISSED'}: {goal.goal}: {goal.value:.3g} (target {goal.target:g})")
