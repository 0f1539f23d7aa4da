"""Decodes gzip chunk by chunk within limits, so that data made to fill the memory is refused early.

Pure: takes chunks and yields chunks.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import ObjectProblem

CHUNK_BYTES = 1 << 20
MAX_RATIO = 200  # text compresses 3 to 20 times
MIN_RATIO_BYTES = CHUNK_BYTES  # decoded bytes from which on the ratio is checked
FIRST_BYTES = 256  # that a member is given at once, at first
MAX_GIVEN_BYTES = CHUNK_BYTES  # that it is given at once, later
_GZIP = 16 + zlib.MAX_WBITS


class Decoder(Protocol):
    """What is used of zlib's decoder."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was given after the end of the member."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """What was given and not decoded yet."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most `max_length` decoded bytes. Raises zlib.error."""
        ...


NewDecoder = Callable[[], Decoder]


def zlib_decoder() -> Decoder:
    """Return a new decoder of one gzip member."""
    return zlib.decompressobj(_GZIP)


def gunzip(
    chunks: Iterable[bytes], max_bytes: int, max_ratio: float = MAX_RATIO, new_decoder: NewDecoder = zlib_decoder
) -> Iterator[bytes]:
    """Yield decoded chunks of at most 1 MiB. Several gzip members in a row are one stream.

    Zero bytes after a member are padding, and are skipped. The work is linear in the bytes read and decoded.

    Raises ObjectProblem for data that is broken or cut off, or that decodes to more than `max_bytes`. From 1 MiB on it
    also raises it when there are more than `max_ratio` decoded bytes for each byte that was read.
    """
    stream = _Members(new_decoder)
    n_out = 0
    for chunk in chunks:
        held: list[bytes] = []
        n_held = 0
        for decoded in stream.feed(chunk):
            n_out += len(decoded)
            _check(stream.n_bytes_read, n_out, max_bytes, max_ratio)
            if n_held + len(decoded) > CHUNK_BYTES:
                yield b"".join(held)
                held, n_held = [], 0
            held.append(decoded)
            n_held += len(decoded)
        if held:
            yield b"".join(held)
    if not stream.complete:
        raise ObjectProblem(
            problem_codes.BROKEN_GZIP, f"got gzip data that ends too early, after {stream.n_bytes_read} bytes"
        )


class _Members:
    """Decodes gzip members, one after the other. `n_bytes_read` counts the bytes that were decoded.

    zlib copies what it was given and did not use, at the end of each member. So a member gets few bytes at first, and
    twice as many each time that it goes on. The copies stay below a multiple of the data, however short the members.
    """

    def __init__(self, new_decoder: NewDecoder) -> None:
        self._new_decoder = new_decoder
        self._decoder = new_decoder()
        self._n_given = FIRST_BYTES
        self.n_bytes_read = 0

    @property
    def complete(self) -> bool:
        return self._decoder.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            if self._decoder.eof:
                n_padding = _n_leading_zeros(data[at : at + FIRST_BYTES])
                at += n_padding
                self.n_bytes_read += n_padding
                if n_padding:
                    continue
                self._decoder, self._n_given = self._new_decoder(), FIRST_BYTES
            for used, decoded in self._decode(data[at : at + self._n_given]):
                at += used
                self.n_bytes_read += used
                if decoded:
                    yield decoded
            self._n_given = min(2 * self._n_given, MAX_GIVEN_BYTES)

    def _decode(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Decode until a piece is used up or its member ends; yield how many bytes were used, and what they gave."""
        while True:
            decoded = _decode(self._decoder, piece)
            rest = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            yield len(piece) - len(rest), decoded
            piece = rest
            if self._decoder.eof or (not piece and len(decoded) < CHUNK_BYTES):
                return


def _n_leading_zeros(data: bytes) -> int:
    """Return how many zero bytes data begins with. Tapes and some tools fill up the last block with them."""
    return len(data) - len(data.lstrip(b"\0"))


def _decode(decoder: Decoder, data: bytes) -> bytes:
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
