"""Runs transformers as its users batch it: rows padded to the longest of a batch, as they come or sorted by length.

Variants are DTYPE-padded-N (N rows a batch, as they come), DTYPE-sorted-N, and DTYPE-single.
"""

from __future__ import annotations

import argparse

import torch
import worker
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

CLASSES = {
    "classification": AutoModelForSequenceClassification,
    "entities": AutoModelForTokenClassification,
    "qa": AutoModelForQuestionAnswering,
    "fill-mask": AutoModelForMaskedLM,
}


def load(options: argparse.Namespace, rows: worker.Rows) -> worker.Pass:
    """Load the model with scaled-dot-product attention, and return a pass over all rows."""
    torch.set_num_threads(options.threads)
    dtype, order, *size = options.variant.split("-")
    model = (
        CLASSES[options.task]
        .from_pretrained(options.checkpoint, dtype=getattr(torch, dtype), attn_implementation="sdpa")
        .eval()
    )
    groups = list(worker.batches(rows, int(size[0]) if size else 1, ordered=order == "sorted"))
    tensors = [tuple(map(torch.tensor, worker.padded([rows[i] for i in group]))) for group in groups]

    @torch.inference_mode()
    def one_pass() -> None:
        for ids, mask in tensors:
            logits = model(input_ids=ids, attention_mask=mask)[0]
            if options.task == "fill-mask":  # as the pipeline does: logits of all positions, then the masked one
                middles = mask.sum(1) // 2
                logits[torch.arange(len(ids)), middles].float().softmax(-1).topk(5)

    return one_pass


if __name__ == "__main__":
    worker.serve(load)
