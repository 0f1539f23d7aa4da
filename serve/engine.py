"""The engine: rows of any heads in, one packed forward pass, each row's answer out.

Says what an engine is and how a call is answered without a scheduler. Must not know HTTP, Ray
or where a row came from.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from serve.rows import Row, RowResult, join, split
from shared.catalog import Model
from shared.messages import InferCall, Inferred


class Engine(Protocol):
    """What answers rows. `model` is the catalog entry it serves."""

    model: Model

    def forward(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer rows in one pass: same order, same length.

        A row that cannot be answered has an instance of a `shared.errors` class in its place and
        changes no other row. Outputs are CPU tensors, FP32 or INT32, with a leading dimension of
        1 (classify, pooled vectors), tokens or masks:
        text-classification: `logits` [1, labels]; token-classification: `logits` [tokens, labels];
        fill-mask: `top_ids`, `top_logits` [masks, k], `log_sum_exp` [masks], with targets also
        `target_logits` [masks, targets]; feature-extraction: `vectors` [1 or tokens, width].
        Not re-entrant: one forward at a time.
        """
        ...


def infer(engine: Engine, call: InferCall) -> Inferred:
    """Answer one call with no scheduler: near lengths together, at most `token_budget` a pass.

    Raises the error of the first row that cannot be answered.
    """
    started_s = time.perf_counter()
    rows = split(call)
    results: dict[int, RowResult] = {}
    for batch in _batches(rows, engine.model.token_budget):
        results.update(zip(batch, engine.forward([rows[index] for index in batch]), strict=True))
    outputs = join([results[index] for index in range(len(rows))])
    return Inferred(outputs, {"queue": 0.0, "infer": time.perf_counter() - started_s})


def _batches(rows: Sequence[Row], budget_tokens: int) -> Iterator[list[int]]:
    """Yield indices of rows by length, at most `budget_tokens` a batch, at least one row."""
    batch: list[int] = []
    held_tokens = 0
    for index in sorted(range(len(rows)), key=lambda i: rows[i].n_tokens):
        if batch and held_tokens + rows[index].n_tokens > budget_tokens:
            yield batch
            batch, held_tokens = [], 0
        batch.append(index)
        held_tokens += rows[index].n_tokens
    if batch:
        yield batch
