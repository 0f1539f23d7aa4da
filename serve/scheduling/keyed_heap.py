"""Named values in the order of a key, any of which can be taken out or moved.

A heap that forgets late: what was taken out or moved leaves its old place when that comes to the top, or when something
is put there and old places are more than half. Pure; must not know what the values are.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")

SPARE_PLACES = 64


class KeyedHeap(Generic[N, V]):
    """Values by name; the one of the smallest key is first, of equal keys the one that was put there first.

    An operation costs O(log n) in the mean, n being the most it held since something was put there.
    """

    def __init__(self) -> None:
        self._places: list[tuple[float, int, N]] = []
        self._held: dict[N, tuple[int, V]] = {}  # with the serial number of its place
        self._n_placed = 0

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._held)

    def __contains__(self, name: N) -> bool:
        """Say whether there is a value of that name."""
        return name in self._held

    def get(self, name: N) -> V | None:
        """Return the value of a name, None without one."""
        found = self._held.get(name)
        return None if found is None else found[1]

    def values(self) -> Iterator[V]:
        """Yield all values, in no promised order."""
        return (value for _, value in self._held.values())

    def put(self, name: N, key: float, value: V) -> None:
        """Put a value at its place; one of the same name leaves its own."""
        self._n_placed += 1
        self._held[name] = (self._n_placed, value)
        heapq.heappush(self._places, (key, self._n_placed, name))
        if len(self._places) > 2 * len(self._held) + SPARE_PLACES:
            self._places = [place for place in self._places if self._is_live(place)]
            heapq.heapify(self._places)

    def first(self) -> V:
        """Return the value of the smallest key. Raises IndexError when there is none."""
        while not self._is_live(self._places[0]):
            heapq.heappop(self._places)
        return self._held[self._places[0][2]][1]

    def remove(self, name: N) -> V:
        """Take out and return the value of a name. Raises KeyError without one."""
        return self._held.pop(name)[1]

    def _is_live(self, place: tuple[float, int, N]) -> bool:
        found = self._held.get(place[2])
        return found is not None and found[0] == place[1]
