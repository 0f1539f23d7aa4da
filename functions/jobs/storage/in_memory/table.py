"""A table in memory, for tests, simulations and jobs within one process.

It may be used from several threads. Nothing survives the process.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence

from functions.jobs.state.keys import INDEX_PARTITION, INDEX_SORT, Key
from functions.jobs.state.transactions import (
    AtMost,
    Check,
    ConditionFailed,
    Delete,
    Guard,
    Is,
    IsIn,
    Item,
    Page,
    Put,
    Update,
    Value,
    Write,
)
from functions.jobs.storage.contracts import check_writes

MAX_PK_BYTES, MAX_SK_BYTES = 2048, 1024  # the limits of DynamoDB
MAX_ITEM_BYTES = 400 * 1024  # likewise


class InMemoryTable:
    """Items in a dict, changed under one lock."""

    def __init__(self) -> None:
        self._items: dict[Key, Item] = {}
        self._lock = threading.Lock()

    def get(self, key: Key) -> Item | None:
        """Return a copy of the item, or None."""
        with self._lock:
            return copy.deepcopy(self._items.get(key))

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return copies of at most 100 items in the order of their keys, and None for each that does not exist."""
        return [self.get(key) for key in keys]

    def write(self, *writes: Write) -> None:
        """Do all of 1 to 100 writes on different items, or none. Raises ConditionFailed."""
        check_writes(writes)
        for pk, sk in (write.key for write in writes):
            if len(pk.encode()) > MAX_PK_BYTES or len(sk.encode()) > MAX_SK_BYTES:
                raise ValueError(
                    f"got a key of {len(pk)} and {len(sk)} characters, longer than a table's. This is a bug."
                )
        with self._lock:
            if failed := tuple(i for i, write in enumerate(writes) if not self._holds(write)):
                raise ConditionFailed(failed)
            after = {write.key: self._after(write) for write in writes}
            if any(item is not None and _n_bytes(item) > MAX_ITEM_BYTES for item in after.values()):
                raise ValueError(f"got an item over {MAX_ITEM_BYTES} bytes, more than a table takes. This is a bug.")
            for key, item in after.items():
                if item is None:
                    self._items.pop(key, None)
                else:
                    self._items[key] = item

    def query(
        self, pk: str, *, prefix: str = "", after: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> Page:
        """Return up to `limit` items of a partition, sorted by sk; see the contract."""
        with self._lock:
            found = sorted(key.sk for key in self._items if key.pk == pk and key.sk.startswith(prefix))
            if newest_first:
                found.reverse()
            if after is not None:
                found = [sk for sk in found if (sk < after if newest_first else sk > after)]
            page = tuple(copy.deepcopy(self._items[Key(pk, sk)]) for sk in found[:limit])
        return Page(page, found[limit - 1] if len(found) > limit else None)

    def due(self, partition: str, until: str, limit: int) -> list[Key]:
        """Return the keys of items in an index partition with gsi1sk < `until`, oldest first."""
        with self._lock:
            found = [
                (str(item[INDEX_SORT]), key)
                for key, item in self._items.items()
                if item.get(INDEX_PARTITION) == partition and str(item.get(INDEX_SORT, "")) < until
            ]
        return [key for _, key in sorted(found)[:limit]]

    def _holds(self, write: Write) -> bool:
        item = self._items.get(write.key)
        if isinstance(write, Put):
            return item is None
        return item is not None and all(_true(guard, item) for guard in write.guards)

    def _after(self, write: Write) -> Item | None:
        """Return the item as a write leaves it, or None after a delete."""
        match write:
            case Put():
                return copy.deepcopy({"pk": write.key.pk, "sk": write.key.sk, **write.item})
            case Update():
                return _updated(self._items[write.key], write)
            case Delete():
                return None
            case Check():
                return self._items[write.key]


def _n_bytes(value: Value) -> int:
    """Return about the size in bytes that DynamoDB counts: names and text in UTF-8, and 8 for a number."""
    match value:
        case str():
            return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        case list():
            return 3 + sum(1 + _n_bytes(each) for each in value)
        case dict():
            return sum(len(name) + _n_bytes(each) for name, each in value.items())
        case _:
            return 8


def _true(guard: Guard, item: Mapping[str, Value]) -> bool:
    value = item.get(guard.name)
    match guard:
        case Is():
            return type(value) is type(guard.value) and value == guard.value
        case IsIn():
            return value in guard.values
        case AtMost():
            return isinstance(value, int) and value <= guard.value


def _updated(item: Item, write: Update) -> Item:
    after = {name: value for name, value in item.items() if name not in write.remove}
    after |= copy.deepcopy(dict(write.set))
    for name, more in write.add.items():
        before = item.get(name, 0)
        if not isinstance(before, int):
            raise TypeError(f"got {type(before).__name__} in {name}, expected a number to add to. This is a bug.")
        after[name] = before + more
    return after
