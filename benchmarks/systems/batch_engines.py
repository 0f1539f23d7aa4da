"""Makes the engines that users put behind a serving framework: rows of ids in, a label and score for each row out.

Variants are ENGINE-ROWS. `transformers` (bf16, sdpa) pads ROWS rows together as they come, as the examples of the
frameworks do. `openvino` (bf16) sorts the rows it gets by length and pads ROWS together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import worker
from transformers_padded import CLASSES

Answers = list[tuple[int, float]]
Engine = Callable[[Sequence[Sequence[int]]], Answers]


def make(variant: str, checkpoint: Path, threads: int) -> Engine:
    """Load the engine that a variant names."""
    engine, size = variant.split("-")
    run = {"transformers": _transformers, "openvino": _openvino}[engine](checkpoint, threads)

    def answer(rows: Sequence[Sequence[int]]) -> Answers:
        answers: Answers = [(0, 0.0)] * len(rows)
        for group in worker.batches(rows, int(size), ordered=engine == "openvino"):
            shares = run(*worker.padded([rows[i] for i in group]))
            for index, share in zip(group, shares, strict=True):
                answers[index] = int(share.argmax()), float(share.max())
        return answers

    answer([[0, 5, 6, 2]] * 2)  # warm-up
    return answer


def _transformers(checkpoint: Path, threads: int) -> Callable[[object, object], np.ndarray]:
    torch.set_num_threads(threads)
    model = (
        CLASSES["classification"].from_pretrained(checkpoint, dtype=torch.bfloat16, attn_implementation="sdpa").eval()
    )

    @torch.inference_mode()
    def run(ids: object, mask: object) -> np.ndarray:
        logits = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
        return logits.float().softmax(-1).numpy()

    return run


def _openvino(checkpoint: Path, threads: int) -> Callable[[object, object], np.ndarray]:
    from openvino_padded import compile_model  # noqa: PLC0415 - only the environment of the peers has it

    request = compile_model(checkpoint, "classification", "bf16", threads).create_infer_request()

    def run(ids: object, mask: object) -> np.ndarray:
        inputs = {"input_ids": np.array(ids, dtype=np.int64), "attention_mask": np.array(mask, dtype=np.int64)}
        logits = torch.from_numpy(request.infer(inputs)[0].copy())
        return logits.float().softmax(-1).numpy()

    return run
