"""Runs the same model in OpenVINO: converted once, rows sorted by length and padded within a batch.

Variants are PRECISION-sorted-N with PRECISION bf16 or f32. There each product runs on all cores.
PRECISION-sorted-N-streams runs several batches at the same time, each on cores of its own (OpenVINO's throughput mode).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import openvino as ov
import torch
import worker
from transformers_padded import CLASSES


class Traced(torch.nn.Module):
    """The model as a function of ids and mask alone."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the first output."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]


def compile_model(checkpoint: Path, task: str, precision: str, threads: int, hint: str = "LATENCY") -> ov.CompiledModel:
    """Convert the checkpoint and compile it for the CPU."""
    source = CLASSES[task].from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager")
    example = {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8, dtype=torch.int64)}
    converted = ov.convert_model(Traced(source.eval()), example_input=example)
    del source
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": hint,
    }
    return ov.Core().compile_model(converted, "CPU", settings)


def load(options: argparse.Namespace, rows: worker.Rows) -> worker.Pass:
    """Convert the model, compile it for the CPU, and return a pass over all rows."""
    precision, order, size, *mode = options.variant.split("-")
    hint = "THROUGHPUT" if mode else "LATENCY"
    compiled = compile_model(options.checkpoint, options.task, precision, options.threads, hint)
    queue = ov.AsyncInferQueue(compiled)  # one request at a time for each stream of the mode
    groups = list(worker.batches(rows, int(size), ordered=order == "sorted"))
    tensors = [tuple(np.array(part, dtype=np.int64) for part in worker.padded([rows[i] for i in g])) for g in groups]

    def one_pass() -> None:
        for ids, mask in tensors:
            queue.start_async({"input_ids": ids, "attention_mask": mask})
        queue.wait_all()

    return one_pass


if __name__ == "__main__":
    worker.serve(load)
