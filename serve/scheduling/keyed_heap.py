"""A priority queue of named values: any value can be removed or moved by its name.

Removal is lazy. A value that is removed or moved leaves its old heap entry behind. That entry goes when it reaches the
top, or when a `put` finds that more than half of the entries are old. Pure; must not know what the values are.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")

MAX_OLD_ENTRIES = 64  # old entries that are kept in any case


class KeyedHeap(Generic[N, V]):
    """Values by name. The value with the smallest key is first; of equal keys, the one that was put first.

    An operation costs O(log n) amortized. Here n is the largest number of values held since the last `put`.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, N]] = []  # key, serial number of the put, name
        self._values: dict[N, tuple[int, V]] = {}  # with the serial number of the put
        self._n_put = 0

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._values)

    def __contains__(self, name: N) -> bool:
        """Say whether there is a value of that name."""
        return name in self._values

    def get(self, name: N) -> V | None:
        """Return the value of a name, or None without one."""
        found = self._values.get(name)
        return None if found is None else found[1]

    def values(self) -> Iterator[V]:
        """Yield all values, in no particular order."""
        return (value for _, value in self._values.values())

    def put(self, name: N, key: float, value: V) -> None:
        """Put a value under a name. It replaces the value that has the name."""
        self._n_put += 1
        self._values[name] = (self._n_put, value)
        heapq.heappush(self._entries, (key, self._n_put, name))
        if len(self._entries) > 2 * len(self._values) + MAX_OLD_ENTRIES:
            self._entries = [entry for entry in self._entries if self._is_current(entry)]
            heapq.heapify(self._entries)

    def first(self) -> V:
        """Return the value with the smallest key. Raises IndexError when there is none."""
        while not self._is_current(self._entries[0]):
            heapq.heappop(self._entries)
        return self._values[self._entries[0][2]][1]

    def remove(self, name: N) -> V:
        """Remove the value of a name and return it. Raises KeyError without one."""
        return self._values.pop(name)[1]

    def _is_current(self, entry: tuple[float, int, N]) -> bool:
        found = self._values.get(entry[2])
        return found is not None and found[0] == entry[1]
