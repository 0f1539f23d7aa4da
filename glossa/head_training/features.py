"""Computes what a frozen backbone says of windows, with the engine that serves it: one vector each, or one a token.

Must not know labels or heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from functions.messages import Window
from serve.engine.engine import Engine
from serve.engine.load_engine import load_engine
from serve.rows.row import Row
from shared.catalog import Head, Model
from shared.errors import GlossaError

Read = Literal["cls", "mean", "tokens"]  # the state of the first token, the mean of all, or the state of each
HEAD = "features"
MAX_BYTES = 8 * 2**30  # of all vectors in memory
FLOAT_BYTES = 4


def load_backbone(model: Model, root: Path) -> Engine:
    """Load the engine of a model without its heads. Raises CheckpointError when it is not the catalog's."""
    return load_engine(model.model_copy(update={"heads": {HEAD: Head(task="feature-extraction")}}), root)


def features(
    engine: Engine,
    windows: Sequence[Window],
    reads: Sequence[Read],
    on_window: Callable[[int], object] = lambda _: None,
) -> dict[Read, list[Tensor]]:
    """Return for each of `reads` float32 [1, width] of each window, or [tokens, width], in order.

    Windows of near length share a pass, in an order that depends on them alone: the same windows give the same bits.
    `on_window` is told how many are done. Raises ValueError when all vectors would not fit into memory.
    """
    width = engine.backbone_limits.width
    n_vectors = sum(len(window.input_ids) for window in windows) if "tokens" in reads else len(windows) * len(reads)
    if n_vectors * width * FLOAT_BYTES > MAX_BYTES:
        raise ValueError(
            f"got {n_vectors:,} vectors of {width} numbers, expected at most {MAX_BYTES >> 30} GiB; give fewer rows"
        )
    order = sorted(range(len(windows)), key=lambda at: (len(windows[at].input_ids), at))
    found: dict[int, dict[Read, Tensor]] = {}
    for batch in _batches(windows, order, engine.model.token_budget):
        results = engine.forward([_row(windows[at], reads) for at in batch])
        for at, result in zip(batch, results, strict=True):
            if isinstance(result, GlossaError):
                raise result
            found[at] = _read(result["vectors"], reads)  # type: ignore[index] # a row of this head is done in one pass
        on_window(len(found))
    return {read: [found[at][read] for at in range(len(windows))] for read in reads}


def _read(vectors: Tensor, reads: Sequence[Read]) -> dict[Read, Tensor]:
    """Return what is wanted of the vectors that a row asked for: one, or those of its tokens."""
    if len(reads) == 1:
        return {reads[0]: vectors.clone()}
    made: dict[Read, Tensor] = {"cls": vectors[:1], "mean": vectors.mean(0, keepdim=True), "tokens": vectors}
    return {read: made[read].clone() for read in reads}


def _batches(windows: Sequence[Window], order: Sequence[int], token_budget: int) -> list[list[int]]:
    batches: list[list[int]] = []
    n_tokens = token_budget + 1
    for at in order:
        n_own = len(windows[at].input_ids)
        if n_tokens + n_own > token_budget:
            batches.append([])
            n_tokens = 0
        batches[-1].append(at)
        n_tokens += n_own
    return batches


def _row(window: Window, reads: Sequence[Read]) -> Row:
    def ints(values: Sequence[int] | None) -> Tensor | None:
        return None if values is None else torch.tensor(values, dtype=torch.int32)

    return Row(
        torch.tensor(window.input_ids, dtype=torch.int32),
        HEAD,
        lang_ids=ints(window.lang_ids),
        token_type_ids=ints(window.token_type_ids),
        position_ids=ints(window.position_ids),
        pooling="cls" if reads[0] == "cls" else "mean",
        per_token=len(reads) > 1 or reads[0] == "tokens",
    )
