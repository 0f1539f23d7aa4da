"""Rerank scores each document of a query."""

from __future__ import annotations

import math

import pytest

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from tests.unit.functions.task_requests import LONG, Numbers, infer_rows, run_request


def test_documents_rank_by_their_best_window(model: Model, tokenizer: Tokenizer) -> None:
    """The best window of a long document decides. Scores are sigmoids, or logits on request."""
    special = tokenizer.encode("Menschen").ids[0]
    body = {"inputs": {"query": "a", "documents": ["b", LONG + " Menschen", "c"]}}
    numbers: Numbers = lambda ids: {"logits": [2.0 if special in ids else -1.0 - ids[5] / 1e5]}  # noqa: E731 - one line is enough
    [value] = run_request(model, tokenizer, body, "rerank", infer_rows(numbers)).values
    assert isinstance(value, list)
    assert value[0] == {"index": 1, "score": pytest.approx(1 / (1 + math.exp(-2)))}
    assert len(value) == 3
    top = body | {"parameters": {"top_n": 1, "return_documents": True, "function_to_apply": "none"}}
    [best] = run_request(model, tokenizer, top, "rerank", infer_rows(numbers)).values
    assert best == [{"index": 1, "score": 2.0, "document": LONG + " Menschen"}]
