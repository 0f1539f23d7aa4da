"""Checks quantized layers and int8 embeddings: how far they are from float32 with the weights as drawn.

A bound says nothing about quality. It lies above what was measured when it was set, and below 1.4. That is the distance
of numbers that have nothing to do with the reference, so a broken kernel shows. Weights that are drawn to show faults
also show rounding at its worst. tests/unit/serve/engine/test_quantize.py holds single layers closer. What a machine
cannot run is S, with the reason that the engine gives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.parity.table import Line, attempt, skipped, within
from serve.checkpoints.read import CheckpointError
from serve.engine.attention_choice import flash_lacks
from serve.engine.bounds import CLOSE, INT8_EMBEDDINGS, QUANTIZED
from serve.engine.load_engine import load_engine
from serve.engine.quantize import check_runnable
from shared.catalog import Quantization
from tests import checkpoints_xlm, judge, judge_xlm
from tests.checkpoints import catalog_model, draw, draw_ids, write

LIKE: Mapping[str, Mapping[str, Any]] = {  # widths that every kernel accepts
    "XLMRobertaForSequenceClassification": {"hidden_size": 128, "intermediate_size": 256},
    "XLMRobertaForMaskedLM": {"hidden_size": 128, "intermediate_size": 256},
    "XLMRobertaXLForMaskedLM": judge.LIKE["xxl"],
}
XLM = ("XLMForSequenceClassification", "XLMWithLMHeadModel")
KINDS: tuple[Quantization, ...] = ("bnb-nf4", "bnb-int8", "torchao-int8", "torchao-int4", "torchao-fp8", "onednn-int8")
STORED: tuple[tuple[Quantization, bool], ...] = (
    *((kind, False) for kind in KINDS),
    ("none", True),
    ("bnb-nf4", True),
)
DTYPES = ("float32", "bfloat16")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2")


def lines() -> Iterator[Line]:
    """Judge each quantization on each family, then each attention implementation."""
    for kind in (*LIKE, *XLM):
        for quantization, int8_embeddings in STORED:
            for dtype in DTYPES:
                yield _quantized(kind, dtype, quantization, int8_embeddings=int8_embeddings)
    for implementation in ATTENTIONS:
        for dtype in DTYPES:
            yield _attention(implementation, dtype)


def _quantized(kind: str, dtype: str, quantization: Quantization, *, int8_embeddings: bool) -> Line:
    words = (dtype, *([quantization] if quantization != "none" else []), *(["int8 rows"] if int8_embeddings else []))
    precision = " ".join(words)
    try:
        check_runnable(quantization, getattr(torch, dtype), _device())
    except CheckpointError as error:
        return skipped(kind, precision, str(error))
    bound = max(QUANTIZED[quantization], INT8_EMBEDDINGS if int8_embeddings else 0)
    fields = {"quantization": quantization, "int8_embeddings": int8_embeddings, "dtype": dtype}
    return attempt(kind, precision, lambda: within(kind, precision, _distance(kind, fields), bound))


def _distance(kind: str, fields: Mapping[str, Any]) -> float:
    """Return |delta| / |reference| of the engine against float32 on the weights as drawn."""
    settings = judge_xlm.settings_of(kind, judge_xlm.choices_for(kind)[0]) if kind in XLM else LIKE[kind]
    reference = checkpoints_xlm.draw(kind, **settings) if kind in XLM else draw(kind, **settings)
    with tempfile.TemporaryDirectory() as folder:
        model = catalog_model(write(reference, Path(folder)), **fields)
        engine = load_engine(model, Path(folder), device=_device())
    if kind in XLM:
        rows = judge_xlm.rows_for(kind, langs=False)
        return judge_xlm.judge(reference, rows, engine.forward(rows), torch.bfloat16).distance
    rows = judge.CASES[kind].rows(draw_ids(judge.LENGTHS, vocab_size=reference.config.vocab_size))
    return judge.judge(reference, rows, engine.forward(rows), torch.bfloat16).distance


def _attention(implementation: str, dtype: str) -> Line:
    kind, precision = "XLMRobertaForMaskedLM", f"{dtype} {implementation}"
    device = _device()
    if implementation == "flash_attention_2" and (lacking := flash_lacks(device, getattr(torch, dtype), 32)):
        return skipped(kind, precision, lacking)
    fields = {"attn_implementation": implementation, "dtype": dtype}
    bound = 1e-5 if dtype == "float32" else CLOSE
    return attempt(kind, precision, lambda: within(kind, precision, _distance(kind, fields), bound))


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
