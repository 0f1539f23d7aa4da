"""Sentence similarity compares vectors by their cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from tests.unit.functions.task_requests import infer_rows, run_request


def test_similarity_is_the_cosine(model: Model, tokenizer: Tokenizer) -> None:
    """Each sentence gets the cosine of its vector and the source's, in the order given."""

    def numbers(ids: Sequence[int]) -> Mapping[str, list[float]]:
        return {"vectors": [1.0, float(len(ids)), float(ids[1] % 7)]}

    body = {"inputs": {"source_sentence": "a", "sentences": ["a", "b c d"]}}
    [value] = run_request(model, tokenizer, body, "sentence-similarity", infer_rows(numbers)).values
    one, other = (np.array(numbers((0, *tokenizer.encode(text).ids, 2))["vectors"]) for text in ("a", "b c d"))
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert value == pytest.approx([1.0, cosine], abs=1e-6)
