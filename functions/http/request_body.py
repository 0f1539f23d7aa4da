"""Reads the body of a proxy event as a JSON object, and refuses what cannot be read safely.

Knows three fields of the event: `body`, `isBase64Encoded` and `headers`. Must not know routes or tasks.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from functions.http.content_coding import coding_of, unpacked
from shared import strict_json
from shared.error_text import shown
from shared.errors import BadRequest, TooLarge, Unprocessable, UnsupportedMedia
from shared.limits import MAX_BODY_BYTES, MAX_RECORD_BYTES
from shared.strict_json import JsonError, lone_surrogate_at

MAX_JSON_DEPTH = 32
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN_CHARS = 40
_JSON_TYPE = re.compile(r"(?:[!-.0-~]+/)?(?:[!-.0-~]+[+.-])?json", re.IGNORECASE)
_UNSPECIFIC_TYPES = {
    "",
    "application/x-www-form-urlencoded",  # curl's default for every body
    "text/plain",  # fetch's default for a string
    "application/octet-stream",
    "binary/octet-stream",
}
_UTF8 = {"", "utf-8", "utf8", "us-ascii", "ascii"}
_QUOTED = re.compile(r'"[^"]*"')


def body_text(event: Mapping[str, object], max_bytes: int = MAX_BODY_BYTES) -> str:
    """Return the body of a proxy event as text, or "" when there is none.

    A body in gzip or deflate is unpacked. Raises TooLarge past `max_bytes` decoded bytes, UnsupportedMedia for another
    coding, BadRequest for broken base64, a broken coding or invalid UTF-8.
    """
    body = event.get("body")
    if body is None:
        return ""
    if not isinstance(body, str):
        raise BadRequest(f"got a body of type {type(body).__name__}, expected text")
    if event.get("isBase64Encoded") or _coding(event):
        return _utf8(body_bytes(event, max_bytes))
    return _whole_text(body, max_bytes)


def _whole_text(body: str, max_bytes: int) -> str:
    _refuse_over(len(body), max_bytes)  # a text has at least as many bytes as characters
    try:
        _refuse_over(len(body.encode()), max_bytes)
    except UnicodeEncodeError as error:
        raise BadRequest(f"got a body that is not UTF-8 at character {error.start}, expected UTF-8") from None
    return body


def body_bytes(event: Mapping[str, object], max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the body of a proxy event, unpacked. Raises as `body_text`, but takes bytes that are not UTF-8."""
    body = event.get("body")
    coding = _coding(event)
    if not isinstance(body, str):
        return body_text(event, max_bytes).encode()
    data = _base64(body, max_bytes) if event.get("isBase64Encoded") else _whole_text(body, max_bytes).encode()
    _refuse_over(len(data), max_bytes)
    return unpacked(data, coding, max_bytes)


def _coding(event: Mapping[str, object]) -> str:
    named = header(event, "content-encoding")
    return coding_of(named) if named else ""


def check_media_type(event: Mapping[str, object]) -> None:
    """Raise UnsupportedMedia when the headers of a proxy event say that its body is not JSON in UTF-8.

    A type that names no format passes, because most clients send one by default. Without a body nothing is checked.
    """
    if not event.get("body"):
        return
    _coding(event)
    for each in _listed(header(event, "content-type")):
        kind, *parameters = (part.strip() for part in each.split(";"))
        if kind.lower() not in _UNSPECIFIC_TYPES and not _JSON_TYPE.fullmatch(kind):
            raise UnsupportedMedia(f"got content-type {shown(kind)}, expected application/json: send a JSON object")
        for name, _, value in (parameter.partition("=") for parameter in parameters):
            charset = value.strip(" '\"")
            if name.strip().lower() == "charset" and charset.lower() not in _UTF8:
                raise UnsupportedMedia(f"got charset {shown(charset)}, expected utf-8: send the body in UTF-8")


def header(event: Mapping[str, object], name: str) -> str:
    """Return a header of a proxy event by its name in lower case, "" when it is not there."""
    headers = event.get("headers")
    known = headers if isinstance(headers, Mapping) else {}
    found = next((value for key, value in known.items() if str(key).lower() == name), None)
    return "" if found is None else str(found)


def takes_bytes(event: Mapping[str, object]) -> bool:
    """Return whether the answer to a proxy event may be bytes, such as a compressed text.

    API Gateway makes bytes of an answer in base64 only for a request that says which types it takes. Others would get
    the base64.
    """
    return bool(header(event, "accept"))


def _listed(value: str) -> list[str]:
    """Return the parts of a header that may be repeated. A quoted text with commas or semicolons is left out."""
    plain = _QUOTED.sub(lambda found: found[0] if {",", ";"}.isdisjoint(found[0]) else "", value)
    return [part.strip() for part in plain.split(",")]


def parse_json(text: str, max_depth: int = MAX_JSON_DEPTH) -> object:
    """Parse strict JSON: no NaN or Infinity, no key twice, at most `max_depth` levels, well-formed Unicode only.

    Raises BadRequest for what cannot be read, Unprocessable for an escaped lone surrogate.
    """
    try:
        value = strict_json.parse(text)
    except JsonError as error:
        raise BadRequest(_json_message(error, max_depth)) from None
    _refuse_deep(value, max_depth)
    if _SURROGATE_ESCAPE.search(text):
        _refuse_surrogates(value, "")
    return value


def _json_message(error: JsonError, max_depth: int) -> str:
    shown_token = error.token[:_SHOWN_CHARS]
    if error.kind == "syntax":
        said = error.token.removesuffix(" starting at").removesuffix(" at").strip(": ").lower()
        return f"got a body that is not JSON at character {error.position} ({said}), expected one whole JSON value"
    return {
        "too-deep": f"got JSON nested too deep to read, expected at most {max_depth} levels",
        "repeated-key": f"got the key {shown_token!r} twice in one object, expected it once",
        "not-finite": f"got {error.token}, expected a finite number",
        "out-of-range": f"got {shown_token}, expected a number within the range of a double",
        "too-many-digits": "got a number of too many digits, expected at most 4300",
    }[error.kind]


def json_object(text: str) -> dict[str, object]:
    """Parse a body that must be one JSON object. Raises BadRequest, Unprocessable as `parse_json`."""
    if not text.strip(" \t\r\n"):
        raise BadRequest("got an empty body, expected a JSON object")
    value = parse_json(text)
    if not isinstance(value, dict):
        kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
        raise BadRequest(f"got {kind} as the body, expected a JSON object")
    return value


def _base64(body: str, max_bytes: int) -> bytes:
    _refuse_over(len(body) * 3 // 4 - 2, max_bytes)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("got a body that is not base64 although the event says so") from None


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"got byte 0x{data[error.start]:02x} at {error.start}, expected UTF-8") from None


def _refuse_over(n_bytes: int, max_bytes: int) -> None:
    if n_bytes > max_bytes:
        raise TooLarge(
            f"got a body of {n_bytes} bytes or more, at most {max_bytes}",
            hint="split the inputs over several requests, or send them as a batch job, where a text may have "
            f"{MAX_RECORD_BYTES} bytes: POST /v1/jobs",
        )


def _refuse_deep(value: object, max_depth: int) -> None:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, list | dict)]:
        depth += 1
        if depth > max_depth:
            raise BadRequest(f"got JSON more than {max_depth} levels deep, expected at most {max_depth}")
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]


def _refuse_surrogates(value: object, where: str) -> None:
    """Refuse a lone surrogate in any text, and name its place. The depth has been checked before."""
    if isinstance(value, str):
        if (at := lone_surrogate_at(value)) is not None:
            found = f"the lone surrogate U+{ord(value[at]):04X} at character {at}"
            raise Unprocessable(f"{where or 'body'}: got {found}, expected well-formed Unicode")
    elif isinstance(value, list):
        for i, part in enumerate(value):
            _refuse_surrogates(part, f"{where}[{i}]")
    elif isinstance(value, dict):
        for name, part in value.items():
            _refuse_surrogates(name, f"a key of {where or 'the body'}")
            _refuse_surrogates(part, f"{where}.{name[:_SHOWN_CHARS]}" if where else name[:_SHOWN_CHARS])
