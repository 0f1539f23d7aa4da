"""Computes what a frozen backbone says of windows, with the engine that serves it: one vector each, or one a token.

Must not know labels or heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from functions.messages import Window
from serve.engine.engine import Engine
from serve.engine.load_engine import load_engine
from serve.rows.row import Row
from shared.catalog import Head, Model
from shared.errors import GlossaError
from shared.messages import Pooling

HEAD = "features"
MAX_BYTES = 8 * 2**30  # of all vectors in memory
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is computed of each window: the `pooling` of its tokens, or the vector of each token."""

    pooling: Pooling = "cls"
    per_token: bool = False


def load_backbone(model: Model, root: Path) -> Engine:
    """Load the engine of a model without its heads. Raises CheckpointError when it is not the catalog's."""
    return load_engine(model.model_copy(update={"heads": {HEAD: Head(task="feature-extraction")}}), root)


def features(
    engine: Engine, windows: Sequence[Window], wanted: Wanted, on_window: Callable[[int], object] = lambda _: None
) -> list[Tensor]:
    """Return float32 [1, width] for each window, or [tokens, width], in order.

    Windows of near length share a pass, in an order that depends on them alone: the same windows give the same bits.
    `on_window` is told how many are done. Raises ValueError when all vectors would not fit into memory.
    """
    width = engine.backbone_limits.width
    n_vectors = sum(len(window.input_ids) for window in windows) if wanted.per_token else len(windows)
    if n_vectors * width * FLOAT_BYTES > MAX_BYTES:
        raise ValueError(
            f"got {n_vectors:,} vectors of {width} numbers, expected at most {MAX_BYTES >> 30} GiB; give fewer rows"
        )
    order = sorted(range(len(windows)), key=lambda at: (len(windows[at].input_ids), at))
    found: dict[int, Tensor] = {}
    for batch in _batches(windows, order, engine.model.token_budget):
        results = engine.forward([_row(windows[at], wanted) for at in batch])
        for at, result in zip(batch, results, strict=True):
            if isinstance(result, GlossaError):
                raise result
            found[at] = result["vectors"].clone()  # type: ignore[index] # a row of this head is done in one pass
        on_window(len(found))
    return [found[at] for at in range(len(windows))]


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


def _row(window: Window, wanted: Wanted) -> Row:
    def ints(values: Sequence[int] | None) -> Tensor | None:
        return None if values is None else torch.tensor(values, dtype=torch.int32)

    return Row(
        torch.tensor(window.input_ids, dtype=torch.int32),
        HEAD,
        lang_ids=ints(window.lang_ids),
        token_type_ids=ints(window.token_type_ids),
        position_ids=ints(window.position_ids),
        pooling=wanted.pooling,
        per_token=wanted.per_token,
    )
