"""Answers to questions equal those of transformers 4.57, the last version with such a pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.tasks.postprocessing import graphemes
from functions.tasks.postprocessing.graphemes import Clusters
from tests.goldens import toy_checkpoint
from tests.task_judge import Difference, request_runner

RECORDED: Mapping[str, Any] = json.loads(
    (Path(__file__).parent / "question_answering.json").read_text(encoding="utf-8")
)
UNSPACED = ("zh", "ja", "th")
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
    """In sixteen languages, for short and long texts and all parameters: equal spans, and scores to four digits.

    Where texts have no spaces, the reference's whole words are whole sentences, and ours are characters.
    """
    answer = request_runner(folder, "question-answering")
    difference = Difference()
    for case in RECORDED["cases"]:
        if case["parameters"].get("align_to_words", True) and any(map(graphemes.is_unspaced, str(case["answer"]))):
            continue
        inputs = {"question": case["question"], "context": case["context"]}
        [ours] = answer({"inputs": [inputs], "parameters": case["parameters"]}).values
        difference.compare(ours, case["answer"], f"{case['lang']} {case['parameters']}")
    assert difference.strange == []
    assert difference.relative <= 1e-4
    assert difference.n_values > len(RECORDED["cases"])


@pytest.mark.parametrize("lang", UNSPACED)
def test_an_answer_without_spaces_is_no_whole_sentence(folder: Path, lang: str) -> None:
    """In Chinese, Japanese and Thai an answer splits no character, and is what the tokens say, to such characters."""
    answer = request_runner(folder, "question-answering")
    case = next(case for case in RECORDED["cases"] if case["lang"] == lang)
    inputs = {"question": case["question"], "context": case["context"]}
    [whole] = answer({"inputs": [inputs], "parameters": {"top_k": 5}}).values
    [tokens] = answer({"inputs": [inputs], "parameters": {"top_k": 5, "align_to_words": False}}).values
    assert isinstance(whole, list)
    assert isinstance(tokens, list)
    text = case["context"]
    assert all(len(found["answer"]) < len(text) / 2 for found in whole)
    assert not any(graphemes.inside(text, found[end]) for found in whole for end in ("start", "end"))
    assert Clusters(text).whole(tokens[0]["start"], tokens[0]["end"]) in [(f["start"], f["end"]) for f in whole]
