"""Joins and splits a v2 body: one JSON object, then the raw bytes of tensors.

The header `inference-header-content-length` says how many bytes the JSON has. The size of the JSON is limited before it
is parsed. This module must not know tensors, requests or answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared import strict_json
from shared.content_types import BINARY_TYPE, JSON_TYPE
from shared.errors import DecodeError, TooLarge, Unprocessable
from shared.strict_json import JsonError

HEADER_LENGTH = "inference-header-content-length"
ALIGNMENT_BYTES = 16  # the JSON is padded with spaces to a multiple of this, so that tensors are aligned in memory
MAX_LENGTH_DIGITS = 15
MAX_SHOWN_CHARS = 60  # of a value in an error message
MAX_SHOWN_BITS = 128  # of an integer in an error message: str() of a huge one raises


@dataclass(frozen=True, slots=True)
class Body:
    """An HTTP body, and the headers that describe it. Header names are in lower case."""

    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class JsonBounds:
    """Limits of the JSON that is parsed. A parsed value takes up to 20 times the memory of its text.

    `max_values` limits the commas, `max_nests` the opening brackets. Those inside strings count too.
    """

    max_values: int
    max_nests: int


def brief(value: object) -> str:
    """Return a value for an error message, shortened to 60 characters."""
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN_BITS:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value if isinstance(value, str | int | float | None) else type(value).__name__)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 3] + "..."


def write_frame(header: Mapping[str, object], chunks: Sequence[memoryview[int]]) -> Body:
    """Join a JSON object and the bytes of tensors. Without chunks the body is plain JSON.

    Raises ValueError when the object holds NaN or an infinity, which JSON cannot express.
    """
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("ascii")
    if not chunks:
        return Body({"content-type": JSON_TYPE}, text)
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    return Body({"content-type": BINARY_TYPE, HEADER_LENGTH: str(len(text))}, b"".join((text, *chunks)))


def read_frame(
    headers: Mapping[str, str], data: bytes | memoryview[int], bounds: JsonBounds
) -> tuple[dict[str, object], memoryview[int]]:
    """Split a body into its JSON object and a view of the bytes after it. No tensor is copied.

    Raises DecodeError for a body that is not one, TooLarge beyond `bounds`, Unprocessable for a compressed body.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Unprocessable(f"got content-encoding {brief(encoding)}, expected none: send the body uncompressed")
    view = memoryview(data).toreadonly()
    end = _header_bytes(headers.get(HEADER_LENGTH), len(view))
    return read_json(view[:end], bounds), view[end:]


def read_json(view: memoryview[int], bounds: JsonBounds) -> dict[str, object]:
    """Parse one object of strict JSON: UTF-8, no NaN, no repeated keys.

    Raises DecodeError for other JSON, TooLarge beyond `bounds`.
    """
    text = view.tobytes()
    if not text or text.isspace():
        raise DecodeError("got no JSON, expected one object as the body or its beginning")
    _check_bounds(text, bounds)
    try:
        value = strict_json.parse(text.decode("utf-8"), infinite=True)
    except UnicodeDecodeError as error:
        raise DecodeError(f"the JSON is not UTF-8 at byte {error.start}") from None
    except JsonError as error:
        raise DecodeError(_json_message(error)) from None
    if not isinstance(value, dict):
        raise DecodeError(f"got {type(value).__name__} as the JSON of the body, expected an object")
    return value


def _json_message(error: JsonError) -> str:
    if error.kind == "too-deep":
        return "the JSON is nested too deep to be read"
    known = {"not-finite": f"{error.token} is not JSON", "repeated-key": "an object repeats a key"}
    return f"the JSON cannot be read: {brief(known.get(error.kind, error.reason))}, expected one object of strict JSON"


def _header_bytes(declared: str | None, body_bytes: int) -> int:
    if declared is None:
        return body_bytes
    if not (declared.isascii() and declared.isdigit() and len(declared) <= MAX_LENGTH_DIGITS):
        raise DecodeError(f"got {HEADER_LENGTH} {brief(declared)}, expected a number of bytes")
    if int(declared) > body_bytes:
        raise DecodeError(f"got {HEADER_LENGTH} {declared}, but the body has {body_bytes} bytes")
    return int(declared)


def _check_bounds(text: bytes, bounds: JsonBounds) -> None:
    if (n_values := text.count(b",")) > bounds.max_values:
        raise TooLarge(f"got JSON of {n_values} values, at most {bounds.max_values}", hint="send binary tensors")
    if (n_nests := text.count(b"[") + text.count(b"{")) > bounds.max_nests:
        raise TooLarge(f"got JSON of {n_nests} lists and objects, at most {bounds.max_nests}")
