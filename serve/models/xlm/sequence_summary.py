"""The sequence summary of XLM: one vector per row, and the heads that read it.

It follows XLMSequenceSummary of `transformers` on unpadded rows. Its `cls_index` is the last token, as in the reference
when the caller gives none. This module must not know the backbone, files or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.rows.pack import Pack
from serve.rows.row import RowOutput

KINDS = ("first", "last", "mean", "cls_index")  # the reference also names `attn`, but does not implement it


class SummaryHead(nn.Module):
    """XLMForSequenceClassification, or with `score` XLMForMultipleChoice: a projection of each row's summary.

    `project` is the identity when the configuration has no projection.
    """

    def __init__(
        self, kind: str, project: nn.Module, activate: Callable[[Tensor], Tensor], score: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.kind, self.project, self.activate, self.score = kind, project, activate, score

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` of each row: [1, labels], or [1, 1] for a choice."""
        summary = self.activate(self.project(_read(self.kind, states, pack, members)))
        logits = summary if self.score is None else self.score(summary)
        return [{"logits": row} for row in torch.split(logits.float().cpu(), 1)]


def check_summary(config: Any) -> None:
    """Raise CheckpointError when the reference has no summary for these settings."""
    if config.summary_type not in KINDS:
        raise CheckpointError(f"config.json has summary_type = {config.summary_type!r}, expected one of {KINDS}")
    activation_of(config)


def summary_width(config: Any) -> int:
    """Return the width of a row's summary: the number of labels if it is projected to them, else that of a state."""
    n_labels = config.num_labels or 0
    return n_labels if config.summary_use_proj and config.summary_proj_to_labels and n_labels else config.emb_dim


def summary_shapes(prefix: str, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the summary. Their names begin with `prefix`. Raises CheckpointError."""
    check_summary(config)
    if not config.summary_use_proj:
        return {}
    size = summary_width(config)
    return {f"{prefix}.summary.weight": (size, config.emb_dim), f"{prefix}.summary.bias": (size,)}


def activation_of(config: Any) -> Callable[[Tensor], Tensor]:
    """Return the activation after the projection, or the identity if there is none. Raises CheckpointError."""
    name = config.summary_activation
    if not name:
        return nn.Identity()
    from transformers.activations import get_activation  # noqa: PLC0415 - takes a second, and other heads do not need it

    try:
        found: Callable[[Tensor], Tensor] = get_activation(name)  # type: ignore[no-untyped-call] # the library has no type for it
    except KeyError:
        raise CheckpointError(f"config.json has summary_activation = {name!r}, which the reference lacks") from None
    return found


def _read(kind: str, states: Tensor, pack: Pack, members: Sequence[int]) -> Tensor:
    """Return the summaries [members, width] before the projection."""
    starts = torch.tensor([pack.spans.starts[member] for member in members])
    lengths = torch.tensor([pack.spans.lengths[member] for member in members])
    if kind == "mean":
        tokens = pack.tokens_of(states, members).float()
        return torch.segment_reduce(tokens, "mean", lengths=lengths.to(states.device), axis=0).to(states.dtype)
    chosen = starts if kind == "first" else starts + lengths - 1
    return states[chosen.to(states.device)]
