"""What comes before the first layer of XLM-RoBERTa: the tables, and the function that a kernel may put in their place.

Must not know checkpoints, kernels or families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from serve.rows.pack import Pack


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """What the states that enter the first layer are made of.

    `words` [vocabulary, width]; in float32 `positions` [positions, width], `types` [types, width], of which type 0 adds
    nothing, and the LayerNorm's `scale` and `shift` [width]. Positions count from `pad_id` + 1.
    """

    words: nn.Module
    positions: Tensor
    types: Tensor
    scale: Tensor
    shift: Tensor
    eps: float
    pad_id: int


Embed = Callable[[Pack], Tensor]


MakeEmbed = Callable[[EmbeddingTables], Embed | None]


def no_embed(tables: EmbeddingTables) -> Embed | None:  # noqa: ARG001 - other makers read them
    """Make nothing: the family's own operators do it."""
    return None
