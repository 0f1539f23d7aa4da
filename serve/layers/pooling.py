"""Pools the states of a row's tokens into the vectors that the caller asked for.

Pooling follows sentence-transformers on an unpadded text, special tokens included. This module must not know heads or
other layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from serve.rows.pack import Pack

SEGMENTS = {"mean": "mean", "max": "max"}  # names in torch.segment_reduce


def read_vectors(states: Tensor, pack: Pack, members: Sequence[int]) -> list[Tensor]:
    """Return float32 [1, width] of each row in `members` on the CPU, or [tokens, width] if the row asks per token.

    `mean` and `max` pool over all tokens. `cls` is the state of the first token of the row (`<s>`). Vectors have length
    1 if the row asks for `normalize`.
    """
    tokens = pack.tokens_of(states, members).float()
    lengths = torch.tensor([pack.spans.lengths[member] for member in members])
    rows = [pack.rows[member] for member in members]
    kinds = {row.pooling for row in rows if not row.per_token}
    pooled = {kind: _pool(kind, tokens, lengths.to(states.device)).cpu() for kind in kinds}
    apart = torch.split(tokens.cpu(), lengths.tolist()) if any(row.per_token for row in rows) else ()
    found = [
        apart[index] if row.per_token else pooled[row.pooling][index : index + 1] for index, row in enumerate(rows)
    ]
    return [F.normalize(own) if row.normalize else own for row, own in zip(rows, found, strict=True)]


def pool(kind: str, states: Tensor, pack: Pack, members: Sequence[int]) -> Tensor:
    """Return the float32 [rows, width] that a pooling makes of the tokens of each row, where the states are."""
    lengths = torch.tensor([pack.spans.lengths[member] for member in members])
    return _pool(kind, pack.tokens_of(states, members).float(), lengths.to(states.device))


def _pool(kind: str, tokens: Tensor, lengths: Tensor) -> Tensor:
    if kind == "cls":
        return tokens[lengths.cumsum(0) - lengths]
    return torch.segment_reduce(tokens, SEGMENTS[kind], lengths=lengths, axis=0)
