"""One forward pass: the results of its rows, and which rows break it."""

from __future__ import annotations

import json

import pytest

from serve.engine.engine import run_pass
from serve.rows.row import row_of
from shared.catalog import Model
from shared.errors import GlossaError
from tests.unit.serve.engine.engines import POISON, FaultyEngine


def test_rows_beside_one_that_breaks_the_pass_are_answered(model: Model) -> None:
    """Only the row that breaks it gets an error; each pass that held the row counts as broken."""
    done = run_pass(FaultyEngine(model), [row_of([number], "topic") for number in (1, 2, POISON, 4)])
    assert [isinstance(result, GlossaError) for result in done.results] == [False, False, True, False]
    assert done.n_broken == 3


def test_a_broken_pass_is_logged_without_the_text_of_its_error(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    """The event is forward-pass-failed; it has the type of the error and the number of rows."""
    run_pass(FaultyEngine(model), [row_of([POISON], "topic")])
    line = capsys.readouterr().out.strip()
    event = json.loads(line)
    assert (event["event"], event["error_type"], event["n_rows"]) == ("forward-pass-failed", "RuntimeError", 1)
    assert "planted" not in line
