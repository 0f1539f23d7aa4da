"""Values of other types in the JSON files of a checkpoint are named, with what was expected; none is a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve.checkpoints.read import CheckpointError
from serve.models.checkpoint_facts import checkpoint_facts
from tests.checkpoints import draw, write

CONFIG, HEADS, PROMPTS = "config.json", "heads.json", "config_sentence_transformers.json"
TASK = {"task": "text-classification", "labels": ["a"]}
STRANGE: dict[str, tuple[str, dict[str, Any], str]] = {
    "problem_type": (CONFIG, {"problem_type": {}}, r"problem_type {}, expected one of"),
    "architectures": (CONFIG, {"architectures": 3}, "architectures 3, expected a list of names"),
    "layers": (CONFIG, {"num_hidden_layers": 10**9}, "1000000000 layers, expected at most 1000"),
    "label": (CONFIG, {"id2label": {"0": ["a"]}}, "expected a label by its index"),
    "default prompt": (PROMPTS, {"prompts": {"q": "x"}, "default_prompt_name": []}, r"default_prompt_name \[\]"),
    "labels": (HEADS, {"x": TASK | {"labels": 3}}, "labels: got 3, expected a list"),
    "empty name": (HEADS, {"": TASK}, "has head '', expected a name of 1 to 64 characters"),
    "elsewhere": (
        HEADS,
        {"x": TASK | {"checkpoint": "/etc"}},
        "checkpoint for x, expected tensors of the folder itself",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a classifier once; each case changes one file and puts it back."""
    return write(draw("XLMRobertaForSequenceClassification"), tmp_path_factory.mktemp("strange"))


@pytest.mark.parametrize("case", STRANGE)
def test_a_value_of_another_type_is_named(case: str, folder: Path) -> None:
    """The message has the value and what was expected."""
    file, facts, said = STRANGE[case]
    before = (folder / file).read_text(encoding="utf-8") if (folder / file).is_file() else None
    (folder / file).write_text(json.dumps({**json.loads(before or "{}"), **facts}), encoding="utf-8")
    try:
        with pytest.raises(CheckpointError, match=said):
            checkpoint_facts(folder)
    finally:
        (folder / file).unlink()
        if before is not None:
            (folder / file).write_text(before, encoding="utf-8")
