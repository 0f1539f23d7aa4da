"""What a row may ask of a backbone, beyond what the catalog says of it.

Must not know rows or configurations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

MAX_EXTRA_BYTES = 64 * 2**20  # of the attentions of one row, and of the hidden states of one row
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class BackboneLimits:
    """Sizes of a backbone: rows ask for layers 0 to `n_layers`, ids stand below `n_types`, `n_positions`, `n_langs`.

    0 types, positions or languages: the family takes no such ids. `width` is that of a state.
    """

    n_layers: int
    n_heads: int
    width: int
    n_types: int = 0
    n_positions: int = 0
    n_langs: int = 0

    def attention_bytes(self, n_tokens: int) -> int:
        """Return the bytes of all attention probabilities of one row, float32."""
        return FLOAT_BYTES * self.n_layers * self.n_heads * n_tokens**2

    def states_bytes(self, n_vectors: int, n_layers: int) -> int:
        """Return the bytes of the hidden states of some layers, float32."""
        return FLOAT_BYTES * self.width * n_vectors * n_layers

    def max_attention_tokens(self, most_bytes: int) -> int:
        """Return the tokens of the longest row whose attentions fit `most_bytes`."""
        return isqrt(most_bytes // (FLOAT_BYTES * self.n_layers * self.n_heads))
