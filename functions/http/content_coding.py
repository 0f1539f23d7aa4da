"""Packs and unpacks bodies by the content codings gzip and deflate, within limits.

`deflate` means zlib's format, as HTTP says. Must not know routes, or what bodies mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from aws_lambda_powertools.event_handler import Response

from shared.error_text import shown
from shared.errors import BadRequest, TooLarge, UnsupportedMedia

_WINDOW_BITS: Mapping[str, int] = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}
_ACCEPTED = ("gzip", "deflate")
_LEVEL = 1  # tensors hardly shrink, and the caller waits


class BytesResponse(Response[bytes]):
    """An answer of bytes, whatever its content type says. Powertools would write those of JSON as JSON once more."""

    def is_json(self) -> bool:
        """Return that it is none."""
        return False


def coding_of(value: str) -> str:
    """Return the coding that a `content-encoding` header names, "" for none. Raises UnsupportedMedia for another."""
    named = [name for part in value.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if not named:
        return ""
    if len(named) > 1 or named[0] not in _WINDOW_BITS:
        raise UnsupportedMedia(f"got content-encoding {shown(value)}, expected gzip, deflate, or none")
    return named[0]


def unpacked(data: bytes, coding: str, max_bytes: int) -> bytes:
    """Return data without its coding. No more than `max_bytes` are ever unpacked.

    Raises TooLarge beyond them, BadRequest for data that is not of this coding, or is cut.
    """
    if not coding:
        return data
    decoder = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        found = decoder.decompress(data, max_bytes + 1)
    except zlib.error:
        raise BadRequest(f"got a body that is not {coding}, expected what its content-encoding says") from None
    if len(found) > max_bytes:
        raise TooLarge(f"got a body of more than {max_bytes} bytes once it is unpacked, at most {max_bytes}")
    if not decoder.eof or decoder.unused_data:
        found_instead = "more bytes behind its end" if decoder.eof else "an early end"
        raise BadRequest(f"got {coding} data with {found_instead}, expected one whole body")
    return found


def coding_for(accepted: str) -> str:
    """Return the coding that an answer should have by the `accept-encoding` header, "" for none.

    A caller that takes one coding of ours and no other asks for it, as tritonclient does. Others take any, and get the
    answer as it is, which is the fastest.
    """
    named = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    return next((coding for coding in _ACCEPTED if named == {coding}), "")


def packed(data: bytes, coding: str) -> bytes:
    """Return data in a coding."""
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[coding])
    return encoder.compress(data) + encoder.flush()
