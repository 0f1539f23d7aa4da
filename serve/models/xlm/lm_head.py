"""The prediction layer of XLM: hidden states to scores over the vocabulary, by a product or an adaptive softmax.

It follows XLMPredLayer of `transformers`. It must not know the backbone, rows or the use of the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.layers.parts import ModelParts


class AdaptiveSoftmax(nn.Module):
    """Adaptive softmax (Grave et al. 2017): log-probabilities over frequent words and clusters of rarer ones.

    It computes what torch's AdaptiveLogSoftmaxWithLoss.log_prob computes, with every softmax in float32. The scores are
    normalized, so that their log-sum-exp is 0 up to rounding.
    """

    def __init__(self, head: nn.Module, tails: Sequence[nn.Module], n_frequent: int) -> None:
        super().__init__()
        self.head, self.tails = head, nn.ModuleList(tails)
        self.n_frequent = n_frequent

    def forward(self, hidden: Tensor) -> Tensor:
        """Return log-probabilities float32 [n, vocabulary] of hidden states [n, width]."""
        first = F.log_softmax(self.head(hidden).float(), dim=-1)
        rest = [
            first[:, self.n_frequent + i, None] + F.log_softmax(tail(hidden).float(), dim=-1)
            for i, tail in enumerate(self.tails)
        ]
        return torch.cat([first[:, : self.n_frequent], *rest], dim=1)


def cutoffs(config: Any) -> tuple[int, ...]:
    """Return the ends of the clusters of an adaptive softmax. The last one is the size of the vocabulary.

    Raises CheckpointError for cutoffs that are missing or do not increase.
    """
    ends = getattr(config, "asm_cutoffs", None)
    if not isinstance(ends, list | tuple) or not all(type(end) is int for end in ends):
        raise CheckpointError(f"config.json has asm with asm_cutoffs = {ends!r}, expected a list of whole numbers")
    whole = (0, *ends, config.vocab_size)
    if not ends or any(low >= high for low, high in pairwise(whole)):
        raise CheckpointError(
            f"config.json has asm_cutoffs = {ends!r}, expected rising numbers within 1..{config.vocab_size - 1}"
        )
    return whole[1:]


def adaptive_shapes(prefix: str, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of an adaptive softmax. Names begin with `prefix`. Raises CheckpointError."""
    ends, width = cutoffs(config), config.emb_dim
    divisor = getattr(config, "asm_div_value", None)
    if not isinstance(divisor, int | float) or not 1 <= divisor <= width:
        raise CheckpointError(f"config.json has asm with asm_div_value = {divisor!r}, expected 1 to {width}")
    n_first = ends[0] + len(ends) - 1
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}.head.weight": (n_first, width), f"{prefix}.head.bias": (n_first,)}
    for i, (low, high) in enumerate(pairwise(ends)):
        inner = int(width // divisor ** (i + 1))
        shapes |= {f"{prefix}.tail.{i}.0.weight": (inner, width), f"{prefix}.tail.{i}.1.weight": (high - low, inner)}
    return shapes


def adaptive_of(prefix: str, tensors: Mapping[str, Tensor], config: Any, parts: ModelParts) -> AdaptiveSoftmax:
    """Make an adaptive softmax from the tensors whose names begin with `prefix`."""
    ends = cutoffs(config)

    def linear(name: str) -> nn.Module:
        return parts.linear(name, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))

    tails = [
        nn.Sequential(linear(f"{prefix}.tail.{i}.0"), linear(f"{prefix}.tail.{i}.1")) for i in range(len(ends) - 1)
    ]
    return AdaptiveSoftmax(linear(f"{prefix}.head"), tails, ends[0])


def prediction_shapes(prefix: str, found: Mapping[str, tuple[int, ...]], config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the prediction layer. A tied weight is included only if it is stored."""
    if config.asm:
        return adaptive_shapes(prefix, config)
    own = f"{prefix}.weight" in found or not config.tie_word_embeddings
    weight = {f"{prefix}.weight": (config.vocab_size, config.emb_dim)} if own else {}
    return {**weight, f"{prefix}.bias": (config.vocab_size,)}
