"""Lanes: passes side by side, each on one core, in place of one pass that all cores share.

When all cores work on one product they meet after every product and wait for the slowest, and an attention product of
one short row is too small to divide at all. Lanes never meet: one that other processes hold up holds up nobody.
A few tokens are still answered sooner by all cores together. Pure: must not know threads, weights or what rows ask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MIN_PASS_TOKENS = 32  # fewer tokens a lane: each reading all weights costs more than the meetings
MAX_ROW_TO_PASS_RATIO = (
    1.4  # times the mean of a lane that one row may be: a longer one is done sooner by all cores together
)


def is_parallel_faster(n_tokens: int, longest_tokens: int, n_parallel: int) -> bool:
    """Whether so many tokens in rows of at most `longest_tokens` are done sooner in `n_parallel` lanes."""
    if n_parallel == 1 or n_tokens < n_parallel * MIN_PASS_TOKENS:
        return False
    return longest_tokens * n_parallel <= MAX_ROW_TO_PASS_RATIO * n_tokens


def partition_rows(sizes: Mapping[int, int], n_parallel: int, most_tokens: int) -> list[list[int]]:
    """Divide rows, by index their tokens, into parts of near equal tokens; each of about `most_tokens`, or a row.

    Rows of near length go together, the longest first; there are as many parts as lanes, or a multiple, fewer where
    rows are few.
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
