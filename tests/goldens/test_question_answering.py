"""Answers to questions equal those of transformers 4.57, the last version with such a pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.goldens import toy_checkpoint
from tests.task_judge import Difference, request_runner

RECORDED: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "question_answering.json").read_text(encoding="utf-8")
)
RECORD_AGAIN = "record again: tests/goldens/record_question_answering.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the checkpoint that was recorded with."""
    model = toy_checkpoint.draw()
    assert toy_checkpoint.digest(model) == RECORDED["weights_sha256"], RECORD_AGAIN
    assert toy_checkpoint.tokenizer_digest() == RECORDED["tokenizer_sha256"], RECORD_AGAIN
    made = tmp_path_factory.mktemp("question-answering")
    toy_checkpoint.write(model, made)
    return made


def test_answers_are_those_recorded_from_the_reference(folder: Path) -> None:
    """In sixteen languages, for short and long texts and all parameters: equal spans, and scores to four digits."""
    answer = request_runner(folder, "question-answering")
    difference = Difference()
    for case in RECORDED["cases"]:
        inputs = {"question": case["question"], "context": case["context"]}
        [ours] = answer({"inputs": [inputs], "parameters": case["parameters"]}).values
        difference.compare(ours, case["answer"], f"{case['lang']} {case['parameters']}")
    assert difference.strange == []
    assert difference.relative <= 1e-4
    assert difference.n_values > len(RECORDED["cases"])
