"""Feature extraction shortens and rounds vectors of any number of windows, and limits attention weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from functions.messages import TokenFacts, Window
from functions.pipeline.assemble import read_outputs
from functions.tasks.feature_extraction import MAX_WEIGHTS, Parameters, outputs
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import TooLarge, Unprocessable
from shared.messages import ModelOutput, Tensor
from tests.unit.functions.task_requests import LONG, infer_rows, run_request


def test_attention_weights_are_counted_before_they_are_made() -> None:
    """Weights over the limit of a request are a 413, before they are made into Python numbers."""
    read = outputs(Parameters(attentions=True), ())
    windows = [Window(row, (0, 1), lambda: TokenFacts(((0, 0),) * 2, (True,) * 2)) for row in range(3)]
    sizes = [MAX_WEIGHTS // 2, MAX_WEIGHTS // 2, 1]
    inferred = ModelOutput({
        "vectors": Tensor.floats([0.5] * 3, (3, 1)),
        "attention_sizes": Tensor.ints(sizes, (3, 1)),
        "attentions": Tensor("FP32", (sum(sizes),), memoryview(bytes(4 * sum(sizes)))),
    })  # fmt: skip
    found = read_outputs(read, windows, [inferred])
    assert [len(next(found)["attentions"]) for _ in range(2)] == sizes[:2]
    with pytest.raises(TooLarge, match="got 200001 attentions, at most 200000 in one request"):
        next(found)


def _numbers(ids: Sequence[int]) -> Mapping[str, list[float]]:
    return {"vectors": [float((ids[1] * 31 + i * 17) % 23 - 11) for i in range(12)]}


def _run(model: Model, tokenizer: Tokenizer, text: str, **parameters: object) -> Any:
    body = {"inputs": [text], "parameters": parameters}
    [value] = run_request(model, tokenizer, body, "feature-extraction", infer_rows(_numbers)).values
    return value


@pytest.mark.parametrize("text", ["Alle Menschen", LONG])
def test_dimensions_come_before_length_one(text: str, model: Model, tokenizer: Tokenizer) -> None:
    """The merged vector is cut, then scaled, as in sentence-transformers; its precision is made of what is left."""
    whole = np.array(_run(model, tokenizer, text))
    cut = whole[:5]
    assert _run(model, tokenizer, text, dimensions=5) == pytest.approx(cut.tolist())
    short = cut / np.linalg.norm(cut)
    assert _run(model, tokenizer, text, dimensions=5, normalize=True) == pytest.approx(short.tolist())
    assert _run(model, tokenizer, text, dimensions=5, precision="int8") == {
        "vectors": np.rint(short * 127).astype(int).tolist(), "precision": "int8", "dimensions": 5,
    }  # fmt: skip
    bits = np.packbits(whole > 0).tolist()
    assert _run(model, tokenizer, text, precision="ubinary") == {
        "vectors": bits, "precision": "ubinary", "dimensions": 12,
    }  # fmt: skip


def test_too_many_dimensions_name_the_width(model: Model, tokenizer: Tokenizer) -> None:
    """More dimensions than the model has are a 422."""
    with pytest.raises(Unprocessable, match="got 13, expected at most 12"):
        _run(model, tokenizer, "a", dimensions=13)
