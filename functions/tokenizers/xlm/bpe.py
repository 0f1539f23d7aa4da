"""Byte pair encoding of one word: the reference's merges, in time n log n rather than n squared.

Must not know ids or texts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

END_OF_WORD = "</w>"
MAX_CACHED_WORDS = 50_000
MAX_CACHED_CHARS = 32  # of one word; longer ones hardly come twice


class Bpe:
    """The merges of a vocabulary, with the words met before."""

    def __init__(self, merges: Iterable[str]) -> None:
        """Take pairs `left right`, best first; of two equal pairs the later rank holds."""
        self._ranks: dict[tuple[str, str], int] = {}
        for rank, merge in enumerate(merges):
            left, _, right = merge.partition(" ")
            self._ranks[left, right] = rank
        self._known: dict[str, tuple[str, ...]] = {}

    def pieces(self, word: str) -> tuple[str, ...]:
        """Return the pieces of a word that is not empty; the last one ends with `</w>`.

        A word with spaces falls apart at them, into empty pieces too, as in the reference.
        """
        found = self._known.get(word)
        if found is None:
            symbols = _merged([*word[:-1], word[-1] + END_OF_WORD], self._ranks)
            found = tuple(" ".join(symbols).split(" ")) if " " in word else tuple(symbols)
            if len(word) <= MAX_CACHED_CHARS:
                if len(self._known) >= MAX_CACHED_WORDS:
                    self._known.clear()
                self._known[word] = found
        return found


def _merged(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge the best pair wherever it stands, from the left, until no pair can be merged.

    All places of one pair are merged before a pair that this makes is looked at: that is the reference's order.
    """
    n = len(symbols)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    waiting: list[tuple[int, int, str, str]] = []

    def wait(left: int, right: int) -> None:
        if left >= 0 and right < n and (rank := ranks.get((symbols[left], symbols[right]))) is not None:
            heapq.heappush(waiting, (rank, left, symbols[left], symbols[right]))

    for i in range(n - 1):
        wait(i, i + 1)
    while waiting:
        best, grown = waiting[0][0], []
        while waiting and waiting[0][0] == best:
            _, left, first, second = heapq.heappop(waiting)
            right = after[left]
            if right >= n or symbols[left] != first or symbols[right] != second:
                continue  # one of the two is part of another by now
            symbols[left], symbols[right] = first + second, ""
            after[left] = after[right]
            if after[left] < n:
                before[after[left]] = left
            grown.append(left)
        for left in grown:
            wait(before[left], left)
            wait(left, after[left])
    return [symbol for symbol in symbols if symbol]
