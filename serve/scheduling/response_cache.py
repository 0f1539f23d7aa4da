"""Answers of rows seen before, bounded in bytes, the longest unused first to go; off unless a model asks for it.

A row's answer depends on its own ids and on what is asked of it, never on its batch company, so it may be given again
to the same row of the same tenant (another's could learn by the clock what was asked). A replica, and so its cache,
serves one revision of one model. Must not know HTTP, batches or tenants' names.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch

from serve.rows.row import Row, RowOutput

ENTRY_BYTES = 512  # what an entry costs beside its tensors: key, dict slots, tensor headers


def key_of(row: Row, tenant: str) -> bytes:
    """Return the digest of whose row it is and of all its answer depends on: ids, what stands beside, what is asked."""
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


@dataclass(frozen=True, slots=True)
class CachedAnswers:
    """What a cache knew of a call's rows: `outputs` by index, and the keys under which the others will be held."""

    outputs: Mapping[int, RowOutput]
    keys: Mapping[int, bytes]

    def merged(self, missing: Sequence[int], results: Sequence[RowOutput]) -> tuple[RowOutput, ...]:
        """Return the outputs of all rows, in order, given those that had to be computed."""
        whole = {**self.outputs, **dict(zip(missing, results, strict=True))}
        return tuple(whole[index] for index in sorted(whole))


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

    def recall(self, rows: Sequence[Row], tenant: str) -> CachedAnswers:
        """Look all repeatable rows of a call up."""
        keys = {index: key_of(row, tenant) for index, row in enumerate(rows) if self.is_on and is_repeatable(row)}
        found = {index: self.get(key) for index, key in keys.items()}
        outputs = {index: output for index, output in found.items() if output is not None}
        return CachedAnswers(outputs, {index: key for index, key in keys.items() if index not in outputs})

    def hold(self, recalled: CachedAnswers, results: Sequence[RowOutput]) -> None:
        """Hold the outputs of a call's rows that were not known, given the outputs of all its rows."""
        for index, key in recalled.keys.items():
            self.put(key, results[index])

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
