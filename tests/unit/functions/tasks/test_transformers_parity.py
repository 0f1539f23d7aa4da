"""With our pipeline and engine, each task gives the answer of transformers' pipeline with the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.task_judge import BOUND, Difference, all_trials, trial

STEPS = {"random": 3, "mini": 9}  # every third or ninth language, as mini is larger; `make parity` reads all


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # the reference warns so for XLM-R
@pytest.mark.parametrize(("name", "source"), all_trials())
def test_a_task_answers_as_the_pipeline(name: str, source: str, tmp_path: Path) -> None:
    """Labels, words, offsets and texts are the reference's. Numbers differ by at most a ten-thousandth."""
    verdict = trial(name, source, tmp_path / "checkpoint", STEPS[source])
    assert verdict.difference.strange == []
    assert verdict.difference.delta <= BOUND
    assert verdict.difference.n_values >= verdict.n_answers > 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([{"label": "a", "score": 0.5}], [{"label": "b", "score": 0.5}]),
        ([{"label": "a"}], [{"label": "a", "score": 0.5}]),
        ([1, 2], [1]),
        ({"start": 3}, {"start": 4}),
        ("New York", "NewYork"),
        ([0.5], [{"score": 0.5}]),
    ],
)
def test_the_comparison_reports_what_is_not_the_same(ours: object, theirs: object) -> None:
    """The comparison reports another label, a missing field, an additional answer, another offset or another word."""
    found = Difference()
    found.compare(ours, theirs, "here")
    assert found.strange


def test_the_comparison_measures_the_largest_distance_of_numbers() -> None:
    """Numbers are compared by their distance: absolute up to one, and relative above."""
    found = Difference()
    found.compare([0.25, 100.0, 3], [0.5, 110.0, 3], "here")
    assert (found.strange, found.n_values) == ([], 3)
    assert found.delta == pytest.approx(0.25)
    assert found.relative == pytest.approx(0.5)
