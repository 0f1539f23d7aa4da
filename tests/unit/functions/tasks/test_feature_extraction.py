"""Feature extraction limits the attention weights of one request."""

from __future__ import annotations

import pytest

from functions.messages import Window
from functions.pipeline.assemble import read_outputs
from functions.tasks.feature_extraction import MAX_WEIGHTS, Parameters, outputs
from shared.errors import TooLarge
from shared.messages import ModelOutput, Tensor


def test_attention_weights_are_counted_before_they_are_made() -> None:
    """Weights over the limit of a request are a 413, before they are made into Python numbers."""
    read = outputs(Parameters(attentions=True), ())
    windows = [Window(row, (0, 1), ((0, 0),) * 2, (True,) * 2) for row in range(3)]
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
