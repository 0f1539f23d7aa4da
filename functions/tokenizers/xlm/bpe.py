"""Byte pair encoding of single words. It makes the merges of the reference in time n log n instead of n squared.

Must not know ids or texts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

END_OF_WORD = "</w>"
MAX_CACHED_WORDS = 50_000
MAX_CACHED_CHARS = 32  # of one word; longer words hardly occur twice


class Bpe:
    """The merges of a vocabulary, with a cache of words."""

    def __init__(self, merges: Iterable[str]) -> None:
        """Take pairs `left right`, best first. Of two equal pairs, the rank of the later one counts."""
        self._ranks: dict[tuple[str, str], int] = {}
        for rank, merge in enumerate(merges):
            left, _, right = merge.partition(" ")
            self._ranks[left, right] = rank
        self._cache: dict[str, tuple[str, ...]] = {}

    def pieces(self, word: str) -> tuple[str, ...]:
        """Return the pieces of a word that is not empty. The last piece ends with `</w>`.

        A word with spaces is split at them, as in the reference; that may give empty pieces.
        """
        found = self._cache.get(word)
        if found is None:
            symbols = _apply_merges([*word[:-1], word[-1] + END_OF_WORD], self._ranks)
            found = tuple(" ".join(symbols).split(" ")) if " " in word else tuple(symbols)
            if len(word) <= MAX_CACHED_CHARS:
                if len(self._cache) >= MAX_CACHED_WORDS:
                    self._cache.clear()
                self._cache[word] = found
        return found


def _apply_merges(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge the best pair everywhere, from left to right, until no pair can be merged.

    All occurrences of a pair are merged before any new pair is considered. This is the order of the reference.
    """
    n = len(symbols)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    queue: list[tuple[int, int, str, str]] = []

    def enqueue(left: int, right: int) -> None:
        if left >= 0 and right < n and (rank := ranks.get((symbols[left], symbols[right]))) is not None:
            heapq.heappush(queue, (rank, left, symbols[left], symbols[right]))

    for i in range(n - 1):
        enqueue(i, i + 1)
    while queue:
        best, merged_at = queue[0][0], []
        while queue and queue[0][0] == best:
            _, left, first, second = heapq.heappop(queue)
            right = after[left]
            if right >= n or symbols[left] != first or symbols[right] != second:
                continue  # one of the two symbols was merged into another
            symbols[left], symbols[right] = first + second, ""
            after[left] = after[right]
            if after[left] < n:
                before[after[left]] = left
            merged_at.append(left)
        for left in merged_at:
            enqueue(before[left], left)
            enqueue(left, after[left])
    return [symbol for symbol in symbols if symbol]
