"""Every short name in the kept results has a plain one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.reporting.plain_names import RUNS, SYSTEMS, goal_name, metric_name, run_order, system_name
from benchmarks.reporting.tables import FOLDER

SAME = {*SYSTEMS, "jobs", "finalize", "sweep", "notify", "tokenizers"}  # these names are plain as they are


def _reports() -> Iterator[dict[str, Any]]:
    for path in FOLDER.glob("*.json"):
        yield from json.loads(path.read_text(encoding="utf-8"))["reports"]


def test_every_kept_figure_has_a_plain_name() -> None:
    """A name that is printed as it is would be a riddle to a reader."""
    metrics = {row["metric"] for report in _reports() for row in report["rows"]}
    assert not {metric for metric in metrics if metric_name(metric) == metric}


def test_every_kept_system_has_a_plain_name() -> None:
    """Names that tell everything stay as they are."""
    systems = {row["system"] for report in _reports() for row in report["rows"]} - SAME
    named = {system for system in systems if system_name(system) != system}
    assert {name for name in systems - named if "instance" not in name} == set()


def test_every_kept_goal_has_a_plain_name() -> None:
    """Goals are spelled out, too."""
    goals = {goal["goal"] for report in _reports() for goal in report["goals"]}
    assert not {goal for goal in goals if goal_name(goal) == goal}


def test_every_kept_run_has_a_title() -> None:
    """Runs are in the order of their titles. An unknown run comes last."""
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(RUNS)
    assert sorted(["another", "tokenize", "engine-base"], key=run_order) == ["engine-base", "tokenize", "another"]


def test_a_load_is_spelled_out() -> None:
    """The short form is texts a request and connections."""
    assert metric_name("1 x 64: p50 ms") == "1 text a request, 64 connections: median latency, ms"
    assert metric_name("32 x 1: tokens/s") == "32 texts a request, 1 connection: tokens per second"
