"""Through desks and engine, each task answers what transformers' pipeline answers with the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.task_judge import BOUND, Difference, all_trials, trial

STEP = 3  # every third language; `make parity` reads all


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")  # as the reference says of XLM-R
@pytest.mark.parametrize(("name", "source"), all_trials())
def test_a_task_answers_as_the_pipeline(name: str, source: str, tmp_path: Path) -> None:
    """Labels, words, places and texts are the pipeline's, numbers within a ten-thousandth."""
    verdict = trial(name, source, tmp_path / "checkpoint", STEP)
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
def test_the_judge_sees_what_is_not_the_same(ours: object, theirs: object) -> None:
    """Another label, a missing field, one answer more, another place, another word: each is told."""
    found = Difference()
    found.compare(ours, theirs, "here")
    assert found.strange


def test_the_judge_measures_the_largest_distance_of_numbers() -> None:
    """Numbers are told by their distance: absolute up to one, relative above."""
    found = Difference()
    found.compare([0.25, 100.0, 3], [0.5, 110.0, 3], "here")
    assert (found.strange, found.n_values) == ([], 3)
    assert found.delta == pytest.approx(0.25)
    assert found.relative == pytest.approx(0.5)
