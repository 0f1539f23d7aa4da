"""The bounds within which the engine's numbers are those of the reference, by how a model is stored.

Tests, the parity table and `glossa catalog test` all use them. The reference is `transformers` in float32 on the same
rounded weights; for quantized models on the weights before. This module must not know how the numbers are compared.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.catalog import Model, Quantization

EXACT = 2e-5  # float32: max|delta| <= EXACT * max(1, max|reference|); at 1e-4, tanh-GELU would stay within 5 bounds
EXACT_AT_REAL_SIZE = 1e-4  # the same for a dozen wide layers and more, where float32 itself rounds so far
# half precision: |delta| / |reference| <= CLOSE, compared with float32 on the rounded weights. A class that gives one
# number a row has only 13 of them in the tests: 0.0208 was met in bfloat16 on a processor without such products (AVX2)
CLOSE = 2.5e-2
CLOSE_AT_REAL_SIZE = 2e-2
# Quantized: |delta| / |reference|. They say nothing about quality. Numbers without any relation are at 1.4.
QUANTIZED: Mapping[Quantization, float] = {
    "none": CLOSE, "bnb-nf4": 0.8, "bnb-int8": 0.06, "torchao-int8": 0.04, "torchao-int4": 0.8, "torchao-fp8": 0.15,
    "onednn-int8": 0.06,
}  # fmt: skip
INT8_EMBEDDINGS = 3e-2  # |delta| / |reference| with the rows of the word embeddings in 8 bits


def is_exact(model: Model) -> bool:
    """Say whether a model is stored and computed in float32: its bound is on the largest difference."""
    return model.dtype == "float32" and model.quantization == "none" and not model.int8_embeddings


def relative_bound(model: Model) -> float:
    """Return the bound on |delta| / |reference| for a model that is not exact."""
    return max(QUANTIZED[model.quantization], INT8_EMBEDDINGS if model.int8_embeddings else 0.0)
