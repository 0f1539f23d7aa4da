"""Decides when passes run in parallel, one per core, instead of one pass on all cores.

When all cores share a pass, they wait for the slowest core after every product. The attention of one short row is too
small to share. Parallel passes never wait for each other, even if another process slows one of them. A few tokens are
still answered sooner by all cores together. This module is pure: it must not know threads, weights or what rows ask
for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MIN_PASS_TOKENS = (
    32  # minimum for each pass: with fewer tokens, reading all weights in every pass costs more than waiting
)
MAX_ROW_TO_PASS_RATIO = (
    1.4  # a row may be this much longer than the mean of a pass; with a longer row, all cores together are faster
)


def is_parallel_faster(n_tokens: int, longest_tokens: int, n_parallel: int) -> bool:
    """Say whether `n_parallel` passes are faster than one on all cores, for rows of at most `longest_tokens`."""
    if n_parallel == 1 or n_tokens < n_parallel * MIN_PASS_TOKENS:
        return False
    return longest_tokens * n_parallel <= MAX_ROW_TO_PASS_RATIO * n_tokens


def partition_rows(sizes: Mapping[int, int], n_parallel: int, most_tokens: int) -> list[list[int]]:
    """Divide rows into parts with nearly equal numbers of tokens. `sizes` are the tokens of each row by its index.

    A part has about `most_tokens` tokens or is one row. Rows of similar length go together, the longest first. The
    number of parts is a multiple of `n_parallel`, or smaller when there are few rows.
    """
    total = sum(sizes.values())
    n_parts = n_parallel * math.ceil(total / (n_parallel * most_tokens))
    parts: list[list[int]] = [[] for _ in range(n_parts)]
    before = 0
    for index in sorted(sizes, key=lambda index: -sizes[index]):
        middle = before + sizes[index] // 2
        parts[min(n_parts - 1, middle * n_parts // total)].append(index)  # a row without tokens is refused later
        before += sizes[index]
    return [part for part in parts if part]
