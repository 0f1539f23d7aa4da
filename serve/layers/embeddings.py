"""The input embeddings of XLM-RoBERTa as plain tables, and the type of a function that computes them in one step.

A kernel may offer such a function. This module must not know checkpoints, kernels or families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from serve.rows.pack import Pack


@dataclass(frozen=True, slots=True)
class EmbeddingTables:
    """The tables and the LayerNorm that make the states for the first layer.

    `words` holds [vocabulary, width]. The others are float32: `positions` [positions, width], `types` [types, width],
    whose type 0 is all zeros, and the `scale` and `shift` [width] of the LayerNorm. Positions count from `pad_id` + 1;
    it is NO_PAD in models whose positions count from 0.
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


def no_embed(tables: EmbeddingTables) -> Embed | None:  # noqa: ARG001 - other makers of this type read it
    """Return None: the family computes its embeddings with its own operators."""
    return None
