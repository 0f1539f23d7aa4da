"""The comparisons of a GPU, at toy size on this machine. What needs CUDA is named."""

from __future__ import annotations

import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel

from benchmarks.parity.on_gpu import lines

SIZES = {
    "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "max_position_embeddings": 40, "pad_token_id": 1, "type_vocab_size": 1,
}  # fmt: skip
ROWS = [[0, *range(10, 10 + length), 2] for length in (3, 9, 1, 20)]


@pytest.mark.parametrize(
    ("config", "model"), [(XLMRobertaConfig, XLMRobertaModel), (XLMRobertaXLConfig, XLMRobertaXLModel)]
)
def test_each_precision_passes_or_says_why_not(config: type, model: type) -> None:
    """On a CPU half precisions and nf4 run; int4, fp8 and varlen_attn need CUDA."""
    reference = model(config(**SIZES), add_pooling_layer=False).eval()
    found = {line.precision: line for line in lines("toy", reference, ROWS, torch.device("cpu"))}
    assert found["float16"].ok, found["float16"]
    assert found["bfloat16"].ok, found["bfloat16"]
    for name in ("bfloat16 varlen_attn", "bfloat16 int4", "bfloat16 fp8"):
        assert found[name].ok is None
        assert "cpu" in found[name].note or "not installed" in found[name].note
    assert found["bfloat16 nf4"].ok is not False, found["bfloat16 nf4"]
