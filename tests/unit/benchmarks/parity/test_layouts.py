"""The parity table of layouts: it has every class, shows the worst verdict, and can fail."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.parity import layouts
from benchmarks.parity.layouts import Found
from benchmarks.parity.table import MARKDOWN, Tally, head, show
from tests import judge
from tests.judge import Verdict

CASES = {case.what: case for case in layouts.all_cases()}


def test_every_class_of_every_family_is_a_case() -> None:
    """So a class that transformers adds is in the table as soon as a judge knows it."""
    assert {case.kind for case in CASES.values()} == set(judge.public_classes())


def test_the_worst_is_the_one_nearest_to_its_bound_and_an_error_is_worse() -> None:
    """A distance counts by its bound. The run fails by one error, and the line says which layout it was."""
    near, far = Verdict(0.9, 1.0, 1.0), Verdict(5.0, 10.0, 1.0)
    found = [Found("a", "x", "float32", far), Found("a", "y", "float32", near)]
    [line] = layouts._worst(found, lambda one: one.case, "layout")
    assert (line.distance, line.ok, line.note) == (0.9, True, "worst of 2: y")
    found.append(Found("a", "z", "float32", None, "CheckpointError: gone"))
    lines, tally, written = list(layouts._worst(found, lambda one: one.case, "layout")), Tally(), list[str]()
    show(lines, tally, written.append, MARKDOWN)
    assert tally.n_failed == 1
    assert written == ["| a | float32 | - | - | NO  worst of 3: z: CheckpointError: gone |"]
    assert head(MARKDOWN).splitlines()[1] == "| --- | --- | ---: | ---: | --- |"


def test_another_pooling_than_the_folder_declares_fails(tmp_path: Path) -> None:
    """A planted fault: the folder is made to declare cls where the case compares with max."""
    case = CASES["xlm-roberta, declares max"]

    def declare_another(folder: Path) -> None:
        case.after(folder)
        path = folder / "1_Pooling" / "config.json"
        path.write_text(json.dumps({"pooling_mode": "cls"}))

    wrong = layouts.Case(case.what, case.kind, case.compare, case.rows, after=declare_another)
    found = next(layouts._trials(wrong, tmp_path))
    assert found.verdict is not None
    assert found.verdict.times_bound > judge.FAULT_FACTOR
