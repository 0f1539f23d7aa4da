"""Runs the same model in ONNX Runtime: exported once, rows sorted by length and padded within a batch.

Variants are PRECISION-sorted-N. PRECISION is float32 or int8 (dynamic quantization of the Linear layers).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import worker
from onnxruntime.quantization import QuantType, quantize_dynamic
from openvino_padded import Traced
from transformers_padded import CLASSES


def load(options: argparse.Namespace, rows: worker.Rows) -> worker.Pass:
    """Export the model, open it for the CPU, and return a pass over all rows."""
    precision, order, size = options.variant.split("-")
    path = options.rows.parent / f"{options.rows.stem}.onnx"
    _export(options, path)
    if precision == "int8":
        whole, path = path, path.with_suffix(".int8.onnx")
        _forget_shapes(whole)
        quantize_dynamic(whole, path, weight_type=QuantType.QInt8, use_external_data_format=True)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    groups = list(worker.batches(rows, int(size), ordered=order == "sorted"))
    tensors = [tuple(np.array(part, dtype=np.int64) for part in worker.padded([rows[i] for i in g])) for g in groups]

    def one_pass() -> None:
        for ids, mask in tensors:
            session.run(None, {"input_ids": ids, "attention_mask": mask})

    return one_pass


def _forget_shapes(path: Path) -> None:
    """Drop the shapes between operators. Folding made some of them wrong, and the quantizer then fails."""
    graph = onnx.load(path, load_external_data=False)
    del graph.graph.value_info[:]
    onnx.save(graph, path)


def _export(options: argparse.Namespace, path: Path) -> None:
    source = CLASSES[options.task].from_pretrained(options.checkpoint, dtype=torch.float32, attn_implementation="eager")
    example = (torch.ones(2, 16, dtype=torch.int64), torch.ones(2, 16, dtype=torch.int64))
    rows, tokens = torch.export.Dim("rows", min=1, max=64), torch.export.Dim("tokens", min=2, max=512)
    shapes = {"input_ids": {0: rows, 1: tokens}, "attention_mask": {0: rows, 1: tokens}}
    torch.onnx.export(
        Traced(source.eval()), example, path, input_names=list(shapes), dynamic_shapes=shapes, dynamo=True
    )


if __name__ == "__main__":
    worker.serve(load)
