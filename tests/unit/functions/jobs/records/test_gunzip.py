"""Whatever its members look like, gzip data is decoded in work that grows with its bytes, and in bounded memory."""

from __future__ import annotations

import gzip
import math
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.jobs.records.formats import ObjectProblem
from functions.jobs.records.gunzip import CHUNK_BYTES, Decoder, gunzip, zlib_decoder

MAX_GIVEN = 40  # bytes handed to zlib for each byte of data: a member of 20 bytes is handed 256, and some members twice
FLAG_CRC, FLAG_EXTRA, FLAG_NAME, FLAG_COMMENT = 2, 4, 8, 16


class Counting:
    """A decoder that adds up the bytes that all decoders were handed."""

    n_given = 0

    def __init__(self) -> None:
        self._real = zlib_decoder()

    def __getattr__(self, name: str) -> object:
        """Pass on what is read."""
        return getattr(self._real, name)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Count, and pass on."""
        Counting.n_given += len(data)
        return self._real.decompress(data, max_length)


def given_bytes(
    data: bytes, chunk_bytes: int = CHUNK_BYTES, make: Callable[[], Decoder] = Counting
) -> tuple[int, bytes]:  # type: ignore[assignment] # __getattr__ has the rest
    """Decode data in chunks; return how many bytes were handed to zlib, and what was decoded."""
    Counting.n_given = 0
    chunks = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    decoded = b"".join(gunzip(chunks, 1 << 40, math.inf, make))
    return Counting.n_given, decoded


def member(text: bytes, *, extra: bytes = b"", name: bytes = b"", comment: bytes = b"") -> bytes:
    """Return one gzip member with these fields in its header."""
    flags = (FLAG_EXTRA if extra else 0) | (FLAG_NAME if name else 0) | (FLAG_COMMENT if comment else 0)
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\x00\xff"
    head += len(extra).to_bytes(2, "little") + extra if extra else b""
    head += name + b"\0" if name else b""
    head += comment + b"\0" if comment else b""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(text) + packer.flush()
    return head + packed + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


MANY = 3_000
KINDS = {
    "empty members": member(b"") * MANY,
    "tiny members": member(b"a") * MANY,
    "members of all sizes": b"".join(member(b"text " * (i % 400)) for i in range(400)),
    "empty members and padding": (member(b"") + bytes(7)) * MANY,
    "long padding": member(b"a") + bytes(1 << 20) + member(b"b") + bytes(1 << 20),
    "huge extra fields": member(b"a", extra=b"x" * 65_535) * 20,
    "huge names": member(b"a", name=b"n" * (1 << 20)) * 3,
    "huge comments": member(b"a", comment=b"c" * (1 << 20)) * 3,
    "no compression": gzip.compress(random.Random(1).randbytes(1 << 20)),
    "much compression": gzip.compress(bytes(8 << 20)),
    "a long member after short ones": member(b"") * 500 + gzip.compress(random.Random(2).randbytes(1 << 20)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_work_is_linear_in_the_bytes(kind: str) -> None:
    """The decoder is handed at most a fixed multiple of the bytes that are read and decoded."""
    data = KINDS[kind]
    n_given, decoded = given_bytes(data)
    assert n_given <= MAX_GIVEN * (len(data) + len(decoded))
    assert decoded == gzip.decompress(data)


def test_the_count_shows_quadratic_work() -> None:
    """What handed each member all the rest of its chunk is far above the bound: the check can fail."""
    data, n_given = member(b"") * MANY, 0
    while data:
        decoder = zlib_decoder()
        n_given += len(data)
        decoder.decompress(data, CHUNK_BYTES)
        data = decoder.unused_data
    assert n_given > 20 * MAX_GIVEN * MANY * len(member(b""))


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_stay_small(kind: str) -> None:
    """However data is made, no decoded chunk is larger than 1 MiB."""
    assert max((len(chunk) for chunk in gunzip([KINDS[kind]], 1 << 40, math.inf)), default=0) <= CHUNK_BYTES


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=5),
    st.integers(1, 60),
)
def test_any_members_padding_and_chunks(parts: list[tuple[bytes, int, bytes]], size: int) -> None:
    """Members with extra fields, with zero bytes after them, in chunks of any size, give what was compressed."""
    data = b"".join(member(text, extra=extra) + bytes(n_zeros) for text, n_zeros, extra in parts)
    assert given_bytes(data, size)[1] == b"".join(text for text, _, _ in parts)


@pytest.mark.parametrize("tail", [b"x", b"\0x", b"\x1f", b"\0\0\x1f\x8b\x08", b"\0" * 600 + b"PK"])
def test_garbage_after_a_member_is_a_problem(tail: bytes) -> None:
    """Only zero bytes or a whole member may follow a member."""
    with pytest.raises(ObjectProblem, match=r"not gzip|ends too early"):
        list(gunzip([member(b"text") + tail], 1 << 20))


def test_padding_before_the_first_member_is_a_problem() -> None:
    """Data that begins with zero bytes is not gzip."""
    with pytest.raises(ObjectProblem, match="not gzip"):
        list(gunzip([bytes(4) + member(b"text")], 1 << 20))


def test_a_bomb_in_a_later_member_is_refused_before_it_is_yielded() -> None:
    """A bomb behind short members is refused like one alone: none of it comes out."""
    bomb = member(b"short") * 3 + gzip.compress(bytes(32 << 20))
    found: list[bytes] = []
    with pytest.raises(ObjectProblem, match="at most 200 times as many"):
        found.extend(gunzip([bomb], 1 << 40))
    assert found == []
