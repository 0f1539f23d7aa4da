"""Whole models whose layers run in one call give the answers of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from serve.engine.engine import PackedEngine
from serve.engine.load_engine import load_engine
from serve.kernels.cpu.int8_products import Int8KernelLinear
from serve.kernels.cpu.library import AVX512, product_kernels_here, variant_here
from serve.kernels.cpu.onednn_int8 import int8_lacks
from serve.rows.row import Row, Step, row_of
from shared.catalog import Model
from shared.messages import Sampling
from tests import checkpoints_xlm, judge_xlm
from tests.checkpoints import catalog_model, draw, draw_ids, rounded, write
from tests.checkpoints_xlm import LANGS
from tests.judge import CASES, LENGTHS, judge, judged_model

CPU = torch.device("cpu")
needs_kernels = pytest.mark.skipif(product_kernels_here() is None, reason="other products are used on this processor")
FITS: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}


def loaded(model: Model, folder: Path) -> PackedEngine:
    """Load a model whose layers run in one call, and whose embeddings do if it is of the XLM-RoBERTa family."""
    engine = load_engine(model, folder, device="cpu")
    encoder: Any = engine._encoder
    assert encoder.layers._fused is not None
    assert model.family == "xlm" or encoder._embed is not None
    return engine


@needs_kernels
@pytest.mark.parametrize("kind", ["XLMRobertaForTokenClassification", "XLMRobertaForMaskedLM", "XLMRobertaForCausalLM"])
def test_models_that_fit_equal_the_reference(kind: str, tmp_path: Path) -> None:
    """If the kernels support the sizes of a model, rows of 1 to 512 tokens equal the reference on each row alone."""
    reference = rounded(draw(kind, **FITS), torch.bfloat16)
    model = judged_model(kind, write(reference, tmp_path), dtype="bfloat16")
    rows = CASES[kind].rows(draw_ids(LENGTHS))
    verdict = judge(reference, rows, loaded(model, tmp_path).forward(rows), torch.bfloat16)
    assert verdict.ok, verdict


@needs_kernels
@pytest.mark.skipif(bool(int8_lacks(CPU)) or variant_here() is not AVX512, reason="no int8 product here")
def test_an_int8_model_is_one_call_too(tmp_path: Path) -> None:
    """Int8 layers of supported sizes run in one call, with our own products."""
    folder = write(rounded(draw("XLMRobertaForMaskedLM", **FITS), torch.bfloat16), tmp_path)
    model = judged_model("XLMRobertaForMaskedLM", folder, dtype="bfloat16")
    engine = loaded(model.model_copy(update={"quantization": "onednn-int8"}), tmp_path)
    encoder: Any = engine._encoder
    assert all(isinstance(layer.qkv, Int8KernelLinear) for layer in encoder.layers.layers)


@needs_kernels
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_so_do_xlms_that_fit(gelu: bool, causal: bool, tmp_path: Path) -> None:  # noqa: FBT001 - pytest passes them by name
    """XLM with either activation, causal or not, with languages, types and own positions, equals its reference."""
    drawn_xlm = checkpoints_xlm.draw(
        "XLMForTokenClassification", emb_dim=64, n_heads=2, gelu_activation=gelu, causal=causal, **LANGS["languages"]
    )
    reference = rounded(drawn_xlm, torch.bfloat16)
    model = catalog_model(write(reference, tmp_path), dtype="bfloat16")
    rows = judge_xlm.rows_for("XLMForTokenClassification", langs=True)
    verdict = judge_xlm.judge(reference, rows, loaded(model, tmp_path).forward(rows), torch.bfloat16)
    assert verdict.ok, verdict


@needs_kernels
def test_a_decoder_with_a_cache_continues_as_in_float32(tmp_path: Path) -> None:
    """A decoder layer by layer with its cache generates the same text as the same weights in float32."""
    folder = write(rounded(draw("XLMRobertaForCausalLM", **FITS), torch.bfloat16), tmp_path)
    wide = load_engine(catalog_model(folder, eos_id=500), folder, device="cpu")
    own = loaded(catalog_model(folder, eos_id=500, dtype="bfloat16"), folder)
    rows = [row_of(ids, "lm", sampling=Sampling(max_new_tokens=12)) for ids in draw_ids([5, 30, 12, 7, 19])]
    both = zip(written(wide, rows), written(own, rows), strict=True)
    same = [token == other for one, others in both for token, other in zip(one, others, strict=True)]
    assert sum(same) >= 0.9 * len(same)


def written(engine: PackedEngine, rows: Sequence[Row]) -> list[list[int]]:
    """Return the ids that an engine generates for each row, with all rows in one batch."""
    waiting, done = {index: engine.begin(row) for index, row in enumerate(rows)}, {}
    while waiting:
        results = engine.forward(list(waiting.values()))
        steps = dict(zip(waiting, results, strict=True))
        waiting = {index: step.row for index, step in steps.items() if isinstance(step, Step)}
        done |= {index: result["ids"].tolist() for index, result in steps.items() if isinstance(result, dict)}
    return [done[index] for index in range(len(rows))]


@needs_kernels
def test_a_row_that_shows_its_layers_changes_no_other(tmp_path: Path) -> None:
    """A pass that runs layer by layer for one row gives the other rows the same bits as a pass in one call."""
    model = catalog_model(write(draw("XLMRobertaModel", **FITS), tmp_path), dtype="bfloat16")
    engine, head = loaded(model, tmp_path), next(iter(model.heads))
    rows = [Row(torch.tensor(ids, dtype=torch.int32), head, per_token=True) for ids in draw_ids([5, 30, 12])]
    alone, beside = engine.forward(rows), engine.forward([*rows, replace(rows[1], layers=(0, 1, 2), attentions=True)])
    for one, other in zip(alone, beside, strict=False):
        assert isinstance(one, dict)
        assert isinstance(other, dict)
        assert torch.equal(one["vectors"], other["vectors"])
