"""Bodies in gzip and deflate: unpacked within limits, and packed for who asks."""

from __future__ import annotations

import gzip
import zlib

import pytest

from functions.http.content_coding import coding_for, coding_of, packed, unpacked
from shared.errors import BadRequest, GlossaError, TooLarge, UnsupportedMedia


@pytest.mark.parametrize(
    ("value", "coding"), [("", ""), ("Identity", ""), ("GZIP", "gzip"), ("deflate, identity", "deflate")]
)
def test_a_known_coding_is_read(value: str, coding: str) -> None:
    """Case does not matter, and identity is none."""
    assert coding_of(value) == coding


@pytest.mark.parametrize("value", ["br", "gzip, deflate", "zstd, identity", "gzipped"])
def test_another_coding_is_refused(value: str) -> None:
    """So are two of them: nobody sends that."""
    with pytest.raises(UnsupportedMedia, match="expected gzip, deflate, or none"):
        coding_of(value)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 64], ids=["empty", "byte", "bytes"])
def test_what_was_packed_is_unpacked(coding: str, data: bytes) -> None:
    """The limit is on what comes out."""
    assert unpacked(packed(data, coding), coding, len(data)) == data


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"plain", BadRequest, "not gzip"),
        (gzip.compress(b"abc")[:-1], BadRequest, "an early end"),
        (gzip.compress(b"abc") + b"more", BadRequest, "more bytes behind its end"),
        (zlib.compress(b"abc"), BadRequest, "not gzip"),
        (gzip.compress(bytes(10**6)), TooLarge, "more than 100 bytes once it is unpacked"),
    ],
    ids=["plain", "cut", "longer", "deflate", "bomb"],
)
def test_what_is_not_one_whole_body_is_refused(data: bytes, kind: type[GlossaError], said: str) -> None:
    """Nothing beyond the limit is unpacked."""
    with pytest.raises(kind, match=said):
        unpacked(data, "gzip", 100)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("Deflate", "deflate"), ("gzip;q=1.0", "gzip"), ("gzip, deflate", ""), ("", ""),
     ("identity", ""), ("gzip, identity", "")],
)  # fmt: skip
def test_an_answer_is_packed_for_who_takes_one_coding_alone(accepted: str, coding: str) -> None:
    """Libraries name all that they know, and are as well served without."""
    assert coding_for(accepted) == coding
