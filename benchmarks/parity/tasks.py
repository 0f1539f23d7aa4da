"""Checks the answers of whole tasks against `transformers` pipelines, on texts in more than fifty languages."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.parity.table import Line, attempt
from tests import task_judge


def lines() -> Iterator[Line]:
    """Judge every case of the task judge of the tests: with random weights, and with mini where it has the head."""
    for name, source in task_judge.all_trials():
        yield attempt(f"pipeline {name}, {source}", "float32", partial(_judge, name, source))


def _judge(name: str, source: str) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        verdict = task_judge.trial(name, source, Path(folder) / "checkpoint")
    strange = verdict.difference.strange
    note = f"{len(strange)} differ, first: {strange[0]}" if strange else f"{verdict.n_answers} answers"
    return Line(
        f"pipeline {name}, {source}", "float32", verdict.difference.delta, task_judge.BOUND, verdict.ok, note[:300]
    )
