"""Quantized layers: how far they are from the originals, what memory they keep, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.checkpoints.read import CheckpointError
from serve.engine import quantize
from serve.engine.quantize import Int8Embedding, check_runnable, quantized
from serve.layers.parts import ModelParts
from shared.catalog import Model, Quantization
from tests.large_tensors import large_tensors

CPU = torch.device("cpu")
HERE: tuple[Quantization, ...] = ("bnb-nf4", "bnb-int8", "torchao-int8")
AWAY: tuple[Quantization, ...] = ("torchao-int4", "torchao-fp8")
GAPS = {
    "bnb-nf4": 0.09,
    "bnb-int8": 0.012,
    "torchao-int8": 0.009,
}  # about twice the error measured on normally distributed weights


def entry(**fields: object) -> Model:
    """Make a catalog entry without a checkpoint."""
    return Model.model_validate({
        "name": "toy", "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "0" * 64,
        "tokenizer_sha256": "0" * 64, "max_tokens": 512, "vocab_size": 100, "heads": {}, **fields,
    })  # fmt: skip


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Draw normally distributed numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stored(kind: str, dtype: torch.dtype, weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Module:
    """Make a layer of a backbone from copies of these tensors."""
    parts = quantized(ModelParts(), entry(quantization=kind, dtype=str(dtype).removeprefix("torch.")), CPU)
    return parts.linear("layers.0.down", weight.to(dtype, copy=True), bias.to(dtype, copy=True))


@pytest.mark.parametrize("kind", HERE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stored_layer_answers_nearly_as_the_full_one(kind: str, dtype: torch.dtype) -> None:
    """Each quantization that a CPU runs has an error that its number of bits explains: not zero and not more."""
    weight, bias, inputs = draw(384, 256) * 0.05, draw(384, seed=1), draw(33, 256, seed=2)
    exact = F.linear(inputs, weight, bias)
    with torch.inference_mode():
        answer = stored(kind, dtype, weight, bias)(inputs.to(dtype))
    assert answer.dtype == dtype
    assert 1e-4 < float((answer.float() - exact).norm() / exact.norm()) < GAPS[kind]


@pytest.mark.parametrize("kind", HERE)
@pytest.mark.parametrize(("rows", "width"), [(1056, 320), (1031, 304)])
def test_a_stored_layer_keeps_no_full_copy(kind: str, rows: int, width: int) -> None:
    """After a forward pass no floating-point tensor of the weight's size exists, whatever the shape of the weight."""
    before = large_tensors(rows * width / 2)  # of other tests in this process
    layer = stored(kind, torch.float32, draw(rows, width), draw(rows))
    with torch.inference_mode():
        layer(draw(3, width))
    known = {id(tensor) for tensor in before}
    assert [tensor.shape for tensor in large_tensors(rows * width / 2) if id(tensor) not in known] == []
    assert layer is not None


@pytest.mark.parametrize("kind", HERE)
def test_a_token_gets_the_same_product_with_any_batch_mates(kind: str) -> None:
    """An outlier in one token changes no other token. A token alone gives the same product as in a batch."""
    layer = stored(kind, torch.float32, draw(96, 64), draw(96))
    inputs = draw(20, 64, seed=3)
    shouting = torch.cat([inputs, draw(1, 64) * 50])
    with torch.inference_mode():
        apart = torch.cat([layer(token[None]) for token in inputs])
        torch.testing.assert_close(layer(shouting)[:-1], apart, rtol=0, atol=1e-4)


def test_heads_stay_as_they_are() -> None:
    """Linear layers outside the backbone's layers are not quantized."""
    parts = quantized(ModelParts(), entry(quantization="bnb-nf4"), CPU)
    for name in ("lm_head.dense", "classifier.out_proj", "heads.topic.dense", "pooler.dense"):
        assert type(parts.linear(name, draw(4, 64), None)) is torch.nn.Linear


@pytest.mark.parametrize("kind", AWAY)
def test_what_a_cpu_cannot_run_is_refused_by_name(kind: Quantization) -> None:
    """The errors of int4 and fp8 say that they need CUDA."""
    with pytest.raises(CheckpointError, match=f"{kind} got device cpu, expected cuda"):
        check_runnable(kind, torch.bfloat16, CPU)


@given(
    values=st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=5, max_size=5), min_size=1, max_size=8),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=50, deadline=None)
def test_a_row_in_8_bits_is_off_by_half_a_step(values: list[list[float]], dtype: torch.dtype) -> None:
    """Each value is off by at most half of its row's largest magnitude over 127. A row of zeros stays zeros."""
    weight = torch.tensor(values).to(dtype)
    words = Int8Embedding(weight)
    ids = torch.arange(len(values), dtype=torch.int32)
    returned = words(ids)
    assert returned.dtype == dtype
    steps = weight.float().abs().amax(1, keepdim=True) / 127
    rounding = weight.float().abs() * float(torch.finfo(dtype).eps) + 1e-30
    assert bool(((returned.float() - weight.float()).abs() <= steps * 0.5001 + rounding).all())


def test_rows_over_several_blocks_are_in_their_places() -> None:
    """Quantizing and multiplying block by block gives the same as all at once."""
    weight, hidden = draw(2 * quantize.ROWS_AT_ONCE + 5, 8), draw(4, 8, seed=1)
    bias = draw(weight.shape[0], seed=2)
    parts = quantized(ModelParts(), entry(int8_embeddings=True), CPU)
    words = parts.embedding("embeddings.word_embeddings", weight)
    grown = words(torch.arange(weight.shape[0]))
    torch.testing.assert_close(grown, weight, rtol=0, atol=0.02)
    logits = parts.tied("lm_head.decoder", words, bias)(hidden)
    torch.testing.assert_close(logits, F.linear(hidden, grown, bias), rtol=1e-4, atol=1e-4)
