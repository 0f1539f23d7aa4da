"""Answers one call without a scheduler, for the command line, benchmarks and tests.

It must not know weights, HTTP or Ray.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from serve.engine.engine import Engine
from serve.engine.parallel_passes import is_parallel_faster, partition_rows
from serve.kernels.core_team import one_core_each
from serve.rows.row import Row, RowOutput, RowResult, Step, join, split
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput


def infer(engine: Engine, call: InferCall) -> ModelOutput:
    """Answer one call without a scheduler. Rows of similar length share a pass of at most `token_budget` tokens.

    Raises the error of the first row that cannot be answered.
    """
    started_s = time.perf_counter()
    rows = split(call)
    results: dict[int, RowOutput | GlossaError] = {}
    waiting = {index: engine.begin(row) for index, row in enumerate(rows)}
    while waiting:  # ends, because every pass brings each generating row nearer to its max_new_tokens
        steps: dict[int, Row] = {}
        for index, result in _round(engine, waiting):
            if isinstance(result, Step):
                steps[index] = result.row
            else:
                results[index] = result
        waiting = steps
    outputs = join([results[index] for index in range(len(rows))], rows)
    return ModelOutput(outputs, {"queue": 0.0, "infer": time.perf_counter() - started_s})


def _round(engine: Engine, rows: Mapping[int, Row]) -> Iterator[tuple[int, RowResult]]:
    """Run one pass for every row, in parallel passes if that is faster. Yield the results with the rows' indices."""
    sizes = {index: row.n_tokens for index, row in rows.items()}
    token_budget = engine.model.token_budget
    if not is_parallel_faster(sum(sizes.values()), max(sizes.values()), engine.n_parallel):
        for batch in _batches(rows, token_budget):
            yield from zip(batch, engine.forward([rows[index] for index in batch]), strict=True)
        return
    parts = partition_rows(sizes, engine.n_parallel, max(1, token_budget // engine.n_parallel))
    with one_core_each(engine.n_parallel) as threads:
        answers = threads.map(lambda part: engine.forward([rows[index] for index in part]), parts)
        for part, results in zip(parts, answers, strict=True):
            yield from zip(part, results, strict=True)


def _batches(rows: Mapping[int, Row], token_budget: int) -> Iterator[list[int]]:
    """Yield batches of row indices, sorted by length. A batch has at most `token_budget` tokens, or one row."""
    batch: list[int] = []
    held_tokens = 0
    for index in sorted(rows, key=lambda i: rows[i].n_tokens):
        if batch and held_tokens + rows[index].n_tokens > token_budget:
            yield batch
            batch, held_tokens = [], 0
        batch.append(index)
        held_tokens += rows[index].n_tokens
    if batch:
        yield batch
