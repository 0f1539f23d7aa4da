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


def read_vectors(states: Tensor, pack: Pack, members: Sequence[int]) -> list[Tensor]:
    """Return float32 [1, width] of each row in `members` on the CPU, or [tokens, width] if the row asks per token.

    Vectors have length 1 if the row asks for `normalize`.
    """
    rows = [pack.rows[member] for member in members]
    kinds = {row.pooling for row in rows if not row.per_token}
    pooled = {kind: pack.pooled(kind, states, members).cpu() for kind in kinds}
    apart: Sequence[Tensor] = ()
    if any(row.per_token for row in rows):
        apart = torch.split(pack.tokens_of(states, members).float().cpu(), [row.n_tokens for row in rows])
    found = [
        apart[index] if row.per_token else pooled[row.pooling][index : index + 1] for index, row in enumerate(rows)
    ]
    return [F.normalize(own) if row.normalize else own for row, own in zip(rows, found, strict=True)]
