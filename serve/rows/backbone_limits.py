"""The limits that a backbone sets for its rows, beyond the limits in the catalog.

It must not know rows or model configurations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

MAX_EXTRA_BYTES = 64 * 2**20  # limit for the attentions of one row, and for the hidden states of one row
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class BackboneLimits:
    """The sizes of a backbone that limit what a row may ask for.

    Rows may ask for layers 0 to `n_layers`. Ids must be below `n_types`, `n_positions` and `n_langs`; 0 means that the
    family takes no such ids. `width` is the number of floats in a hidden state.
    """

    n_layers: int
    n_heads: int
    width: int
    n_types: int = 0
    n_positions: int = 0
    n_langs: int = 0

    def attention_bytes(self, n_tokens: int) -> int:
        """Return the bytes of all attention probabilities of one row, in float32."""
        return FLOAT_BYTES * self.n_layers * self.n_heads * n_tokens**2

    def states_bytes(self, n_vectors: int, n_layers: int) -> int:
        """Return the bytes of the hidden states of `n_layers` layers for `n_vectors` tokens, in float32."""
        return FLOAT_BYTES * self.width * n_vectors * n_layers

    def max_attention_tokens(self, most_bytes: int) -> int:
        """Return the length in tokens of the longest row whose attentions fit into `most_bytes`."""
        return isqrt(most_bytes // (FLOAT_BYTES * self.n_layers * self.n_heads))
