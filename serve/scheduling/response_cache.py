"""Keeps the outputs of rows seen before, bounded in bytes; the least recently used go first. Off unless a model asks.

The output of a row depends on its ids and its options, never on its batch mates. So the same row of the same tenant may
get it again. Another tenant may not: it could learn from the response time what was asked before. A replica serves
one revision of one model, and so does its cache. Must not know HTTP, batches or the names of tenants.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch

from serve.rows.row import Row, RowOutput

ENTRY_BYTES = 512  # what an entry costs beside its tensor data: key, dict slots, tensor headers
MIN_ENTRIES = 8  # the cache has room for so many outputs at least: a larger one is not kept


def key_of(row: Row, tenant: str) -> bytes:
    """Return a digest of the tenant and of all that the output of a row depends on: its ids and its options."""
    digest = hashlib.blake2b(repr(tenant).encode(), digest_size=16)
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, torch.Tensor):
            digest.update(b"%d:" % value.numel())
            digest.update(value.contiguous().numpy().tobytes())
        else:
            digest.update(repr(value).encode())
        digest.update(b";")
    return digest.digest()


def is_repeatable(row: Row) -> bool:
    """Whether the same row always has the same output. A generating row has not: it has steps and seeds of its own."""
    return row.sampling is None


@dataclass(frozen=True, slots=True)
class CachedAnswers:
    """What a cache knows of the rows of a call, by the index of the row.

    `outputs` are those it found. `missing_keys` are the keys of the others that it will keep.
    """

    outputs: Mapping[int, RowOutput]
    missing_keys: Mapping[int, bytes]

    def merged(self, missing: Sequence[int], results: Sequence[RowOutput]) -> tuple[RowOutput, ...]:
        """Return the outputs of all rows, in order. `results` are those of the rows with the indices `missing`."""
        outputs = {**self.outputs, **dict(zip(missing, results, strict=True))}
        return tuple(outputs[index] for index in sorted(outputs))


class ResponseCache:
    """Outputs of rows by key. Not thread-safe: one event loop owns it.

    `n_hits` and `n_misses` count look-ups, `n_bytes` is the size of all entries. A cache of 0 bytes keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, RowOutput] = OrderedDict()
        self.n_hits = self.n_misses = self.n_bytes = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    @property
    def is_on(self) -> bool:
        """Whether the cache ever keeps anything."""
        return self._max_bytes > 0

    def get(self, key: bytes) -> RowOutput | None:
        """Return the output of a row seen before, or None. Count a hit or a miss."""
        found = self._entries.get(key)
        if found is None:
            self.n_misses += 1
            return None
        self._entries.move_to_end(key)
        self.n_hits += 1
        return found

    def look_up(self, rows: Sequence[Row], tenant: str) -> CachedAnswers:
        """Look up all repeatable rows of a call."""
        keys = {index: key_of(row, tenant) for index, row in enumerate(rows) if self.is_on and is_repeatable(row)}
        found = {index: self.get(key) for index, key in keys.items()}
        outputs = {index: output for index, output in found.items() if output is not None}
        return CachedAnswers(outputs, {index: key for index, key in keys.items() if index not in outputs})

    def store(self, cached: CachedAnswers, results: Sequence[RowOutput]) -> None:
        """Keep the outputs that `look_up` did not find. `results` are the outputs of all rows of the call."""
        for index, key in cached.missing_keys.items():
            self.put(key, results[index])

    def put(self, key: bytes, output: RowOutput) -> None:
        """Keep an output, unless it is so large that it would push out too many others."""
        n_bytes = _size_bytes(output)
        if key in self._entries or n_bytes > self._max_bytes // MIN_ENTRIES:
            return
        # a copy: a view would keep the tensors of the whole batch in memory
        self._entries[key] = {name: tensor.clone() for name, tensor in output.items()}
        self.n_bytes += n_bytes
        while self.n_bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.n_bytes -= _size_bytes(oldest)


def _size_bytes(output: RowOutput) -> int:
    return ENTRY_BYTES + sum(tensor.nbytes for tensor in output.values())
