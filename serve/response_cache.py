"""Answers of rows seen before, bounded in bytes, the longest unused first to go; off unless a model asks for it.

A row's answer depends on its own ids and on what is asked of it, never on its batch company, so it may be
given again to the same row of the same model revision. Must not know HTTP, batches or tenants' names.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import fields

import torch

from serve.rows import Row, RowOutput

ENTRY_BYTES = 512  # what an entry costs beside its tensors: key, dict slots, tensor headers


def key_of(row: Row) -> bytes:
    """Return the digest of everything that an answer depends on: ids, what stands beside them, and what is asked."""
    digest = hashlib.blake2b(digest_size=16)
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
    """Whether the same row always has the same answer: generation has steps and seeds of its own."""
    return row.sampling is None


class ResponseCache:
    """Row answers by key. Not thread-safe: one event loop owns it.

    `n_hits` and `n_misses` count look-ups, `n_bytes` what is held. A cache of 0 bytes holds nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, RowOutput] = OrderedDict()
        self.n_hits = self.n_misses = self.n_bytes = 0

    def __len__(self) -> int:
        """Return the number of answers held."""
        return len(self._held)

    @property
    def is_on(self) -> bool:
        """Whether anything is ever held."""
        return self._max_bytes > 0

    def get(self, key: bytes) -> RowOutput | None:
        """Return the answer of a row seen before, None when there is none; count which it was."""
        found = self._held.get(key)
        if found is None:
            self.n_misses += 1
            return None
        self._held.move_to_end(key)
        self.n_hits += 1
        return found

    def put(self, key: bytes, output: RowOutput) -> None:
        """Hold an answer; one larger than an eighth of the cache is not worth the others it would push out."""
        n_bytes = _size(output)
        if key in self._held or n_bytes > self._max_bytes // 8:
            return
        self._held[key] = {name: tensor.clone() for name, tensor in output.items()}  # no view keeps a batch alive
        self.n_bytes += n_bytes
        while self.n_bytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self.n_bytes -= _size(oldest)


def _size(output: RowOutput) -> int:
    return ENTRY_BYTES + sum(tensor.nbytes for tensor in output.values())
