"""Runs our engine alone: rows sorted by length, and as many in a packed pass as the token budget allows."""

from __future__ import annotations

import argparse
from itertools import accumulate
from pathlib import Path

import torch
import worker

from benchmarks.inputs.catalogs import weight_format
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from serve.models.checkpoint_facts import checkpoint_facts
from shared.catalog import Model
from shared.messages import InferCall, Tensor

HEADS = {
    "classification": "text-classification",
    "entities": "token-classification",
    "qa": "question-answering",
    "fill-mask": "fill-mask",
}


def load(options: argparse.Namespace, rows: worker.Rows) -> worker.Pass:
    """Load the checkpoint. The variant is `float32`, `bfloat16` or `int8`, and may end with `-BUDGET` tokens a pass."""
    torch.set_num_threads(options.threads)
    precision, _, budget = options.variant.partition("-")
    model = _catalog_model(options.checkpoint, precision, int(budget or 4096))
    head = next(name for name, head in model.heads.items() if head.task == HEADS[options.task])
    engine = load_engine(model, Path())
    call = _call(rows, head, masks=options.task == "fill-mask")
    return lambda: infer(engine, call)


def _call(rows: worker.Rows, head: str, *, masks: bool) -> InferCall:
    """Pack all rows into one call. A fill-mask row predicts its middle position."""
    flat = [token for row in rows for token in row]
    starts = accumulate(map(len, rows), initial=0)
    middles = [start + len(row) // 2 for start, row in zip(starts, rows, strict=False)]
    return InferCall(
        "bench",
        head,
        Tensor.ints(flat),
        Tensor.ints(map(len, rows)),
        positions=Tensor.ints(middles) if masks else None,
        positions_per_row=Tensor.ints([1] * len(rows)) if masks else None,
    )


def _catalog_model(folder: Path, precision: str, budget: int) -> Model:
    facts = checkpoint_facts(folder)
    return Model.model_validate(
        {
            "name": "bench",
            "family": facts.family,
            "checkpoint": str(folder.resolve()),
            "weights_sha256": facts.weights_sha256,
            "tokenizer_sha256": "0" * 64,
            **weight_format(precision),
            "max_tokens": facts.max_tokens,
            "vocab_size": facts.vocab_size,
            "pad_id": facts.pad_id,
            "token_budget": budget,
            "heads": facts.heads,
        }
    )


if __name__ == "__main__":
    worker.serve(load)
