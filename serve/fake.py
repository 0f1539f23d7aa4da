"""An engine of the same contract as the packed one: deterministic from ids, without weights.

For tests and dry runs of everything around an engine. Same names, shapes, dtypes and refusals
as `serve.engine.PackedEngine`; the numbers mean nothing. Must not know weights or devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from serve.bounds import Bounds
from serve.rows import Row, RowOutput, RowResult, find_faults
from shared.catalog import Head, Model

WIDTH = 16
BOUNDS = Bounds(n_layers=2, n_heads=2, n_types=2, n_positions=1024, n_langs=16)
LABELS = 2  # of a head whose catalog entry names none


class FakeEngine:
    """Answers every row from its own ids alone, whatever else is in the batch.

    `n_forwards` and `n_tokens` count what it was asked to do.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.bounds = BOUNDS
        self.n_forwards = 0
        self.n_tokens = 0

    def forward(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer rows in order; a refused row has its error in its place."""
        self.n_forwards += 1
        self.n_tokens += sum(row.n_tokens for row in rows)
        faults = find_faults(rows, self.model)
        return [fault or self._answer(row) for row, fault in zip(rows, faults, strict=True)]

    def _answer(self, row: Row) -> RowOutput:
        head = self.model.heads[row.head]
        return _ANSWERS[head.task](row, head, self.model.vocab_size)


def _numbers(ids: torch.Tensor, width: int) -> torch.Tensor:
    """Map ids [n] to floats [n, width] in [-1, 1), all exactly representable."""
    mixed = (ids.long()[:, None] * 7919 + torch.arange(width) * 104_729 + 12_345) % 4096
    return mixed.float() / 2048 - 1


def _classify(row: Row, head: Head, _: int) -> RowOutput:
    return {"logits": _numbers(row.input_ids.sum()[None], len(head.labels) or LABELS)}


def _tag(row: Row, head: Head, _: int) -> RowOutput:
    return {"logits": _numbers(row.input_ids, len(head.labels) or LABELS)}


def _fill(row: Row, _: Head, vocab_size: int) -> RowOutput:
    seeds = row.input_ids.sum() + torch.tensor(row.positions)
    ranks = torch.arange(row.top_k)
    found: dict[str, torch.Tensor] = {
        "top_ids": ((seeds[:, None] + ranks) % vocab_size).to(torch.int32),
        "top_logits": 4 - ranks.float().expand(len(seeds), -1) / 2,
        "log_sum_exp": torch.full((len(seeds),), 6.0),
    }
    if row.target_ids:
        found["target_logits"] = _numbers(torch.tensor(row.target_ids), 1).T.repeat(len(seeds), 1)
    return found


def _embed(row: Row, _: Head, __: int) -> RowOutput:
    vectors = _numbers(row.input_ids, WIDTH)
    if not row.per_token:
        vectors = vectors.mean(0, keepdim=True)
    return {"vectors": torch.nn.functional.normalize(vectors) if row.normalize else vectors}


_ANSWERS: Mapping[str, Callable[[Row, Head, int], RowOutput]] = {
    "text-classification": _classify,
    "token-classification": _tag,
    "fill-mask": _fill,
    "feature-extraction": _embed,
}
