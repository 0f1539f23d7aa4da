"""Decodes gzip chunk by chunk within limits, so that data made to fill the memory is refused early.

Pure: takes chunks and yields chunks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import ObjectProblem

CHUNK_BYTES = 1 << 20
MAX_RATIO = 200  # text compresses 3 to 20 times
MIN_RATIO_BYTES = CHUNK_BYTES  # decoded bytes from which on the ratio is checked
_GZIP = 16 + zlib.MAX_WBITS


def gunzip(chunks: Iterable[bytes], max_bytes: int, max_ratio: float = MAX_RATIO) -> Iterator[bytes]:
    """Yield decoded chunks of at most 1 MiB. Several gzip members in a row are one stream.

    Raises ObjectProblem for data that is broken or cut off, or that decodes to more than `max_bytes`. From 1 MiB on it
    also raises it when there are more than `max_ratio` decoded bytes for each byte that was read.
    """
    stream = _Members()
    n_out = 0
    for chunk in chunks:
        for decoded in stream.feed(chunk):
            n_out += len(decoded)
            _check(stream.n_bytes_read, n_out, max_bytes, max_ratio)
            yield decoded
    if not stream.complete:
        raise ObjectProblem(
            problem_codes.BROKEN_GZIP, f"got gzip data that ends too early, after {stream.n_bytes_read} bytes"
        )


class _Members:
    """Decodes gzip members, one after the other. `n_bytes_read` counts the bytes that were decoded."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP)
        self.n_bytes_read = 0

    @property
    def complete(self) -> bool:
        return self._decoder.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not self._decoder.eof:
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(_GZIP)
            decoded = _decode(self._decoder, data)
            rest = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            self.n_bytes_read += len(data) - len(rest)
            data = rest
            if decoded:
                yield decoded
            if not data and len(decoded) < CHUNK_BYTES:
                return


def _decode(decoder: zlib._Decompress, data: bytes) -> bytes:
    try:
        return decoder.decompress(data, CHUNK_BYTES)
    except zlib.error:
        raise ObjectProblem(
            problem_codes.BROKEN_GZIP, "got data that is not gzip, expected what the name .gz says"
        ) from None


def _check(n_in: int, n_out: int, max_bytes: int, max_ratio: float) -> None:
    if n_out > max_bytes:
        raise ObjectProblem(problem_codes.TOO_LARGE, f"got more than {max_bytes} decoded bytes, at most {max_bytes}")
    if n_out >= MIN_RATIO_BYTES and n_out > n_in * max_ratio:
        detail = f"got gzip data of which {n_in} bytes grow to {n_out}, at most {max_ratio:.0f} times as many"
        raise ObjectProblem(problem_codes.TOO_LARGE, f"{detail}; send data that repeats itself so much unpacked")
