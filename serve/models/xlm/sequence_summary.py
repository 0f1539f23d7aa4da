"""XLM's sequence summary: one vector of each row, and the heads that read it.

Follows `transformers` XLMSequenceSummary on unpadded rows, where `cls_index` is the last token, as it is there when
the caller names none. Must not know the backbone, files or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import XLMConfig

from serve.checkpoints.read import CheckpointError
from serve.rows.pack import Pack
from serve.rows.row import RowOutput

KINDS = ("first", "last", "mean", "cls_index")  # the reference names `attn` too, and implements it nowhere


class SummaryHead(nn.Module):
    """XLMForSequenceClassification, and with `score` XLMForMultipleChoice: each row's summary, projected.

    `project` is the Identity where the configuration has no projection.
    """

    def __init__(
        self, kind: str, project: nn.Module, activate: Callable[[Tensor], Tensor], score: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.kind, self.project, self.activate, self.score = kind, project, activate, score

    def forward(self, states: Tensor, pack: Pack, members: Sequence[int]) -> list[RowOutput]:
        """Return `logits` [1, labels] of each row; [1, 1] of a choice."""
        summary = self.activate(self.project(_read(self.kind, states, pack, members)))
        logits = summary if self.score is None else self.score(summary)
        return [{"logits": row} for row in torch.split(logits.float().cpu(), 1)]


def check_summary(config: XLMConfig) -> None:
    """Raise CheckpointError where the reference has no summary of these settings."""
    if config.summary_type not in KINDS:
        raise CheckpointError(f"config.json has summary_type = {config.summary_type!r}, expected one of {KINDS}")
    activation_of(config)


def summary_width(config: XLMConfig) -> int:
    """Return how many numbers the summary of a row has: one a label, or a state's where none projects to them."""
    n_labels = config.num_labels or 0
    return n_labels if config.summary_use_proj and config.summary_proj_to_labels and n_labels else config.emb_dim


def summary_shapes(at: str, config: XLMConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the summary, whose names begin with `at`. Raises CheckpointError."""
    check_summary(config)
    if not config.summary_use_proj:
        return {}
    size = summary_width(config)
    return {f"{at}.summary.weight": (size, config.emb_dim), f"{at}.summary.bias": (size,)}


def activation_of(config: XLMConfig) -> Callable[[Tensor], Tensor]:
    """Return what is applied to the projection; nothing where the configuration names nothing."""
    name = config.summary_activation
    if not name:
        return nn.Identity()
    from transformers.activations import get_activation  # noqa: PLC0415 - a second of imports that others do without

    try:
        found: Callable[[Tensor], Tensor] = get_activation(name)  # type: ignore[no-untyped-call] # the library states none
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
