"""Multiple choice ranks the choices of a prompt."""

from __future__ import annotations

import pytest
import torch

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from tests.unit.functions.task_requests import infer_rows, run_request


def test_choices_share_the_probability(model: Model, tokenizer: Tokenizer) -> None:
    """The best choice is first. Scores are the softmax over the logits of all choices."""
    logits = {len(tokenizer.encode(text).ids): score for text, score in [("b", 1.0), ("b c d e", 3.0), ("b c", 2.0)]}
    n_rest = len(tokenizer.encode("a").ids) + 4
    body = {"inputs": {"prompt": "a", "choices": ["b", "b c d e", "b c"]}}
    [value] = run_request(
        model, tokenizer, body, "multiple-choice", infer_rows(lambda ids: {"logits": [logits[len(ids) - n_rest]]})
    ).values
    assert isinstance(value, list)
    assert [(each["index"], each["choice"]) for each in value] == [(1, "b c d e"), (2, "b c"), (0, "b")]
    assert [each["score"] for each in value] == pytest.approx(torch.tensor([3.0, 2.0, 1.0]).softmax(0).tolist())
