"""Request bodies: what is read, what is refused, and that every body is one or the other."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.http.request_body import (
    MAX_BODY_BYTES,
    MAX_JSON_DEPTH,
    body_text,
    check_media_type,
    json_object,
    parse_json,
)
from shared.errors import BadRequest, GlossaError, TooLarge, Unprocessable, UnsupportedMedia

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _encoded(data: bytes) -> dict[str, object]:
    return {"body": base64.b64encode(data).decode(), "isBase64Encoded": True}


@pytest.mark.parametrize(
    ("size", "fits"), [(MAX_BODY_BYTES - 1, True), (MAX_BODY_BYTES, True), (MAX_BODY_BYTES + 1, False)]
)
@pytest.mark.parametrize("as_base64", [False, True])
def test_limit_counts_decoded_bytes(size: int, *, fits: bool, as_base64: bool) -> None:
    """A body of exactly the limit is read. One byte more is TooLarge, plain or base64."""
    event = _encoded(b"a" * size) if as_base64 else {"body": "a" * size}
    if fits:
        assert len(body_text(event)) == size
    else:
        with pytest.raises(TooLarge, match="at most 4194304"):
            body_text(event)


def test_limit_counts_bytes_not_characters() -> None:
    """A text of two-byte letters reaches the limit at half its length."""
    with pytest.raises(TooLarge):
        body_text({"body": "é" * (MAX_BODY_BYTES // 2 + 1)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("content-encoding", "gzip, gzip", "got content-encoding 'gzip, gzip', expected gzip, deflate, or none"),
        ("content-encoding", "identity, br", "got content-encoding 'identity, br', expected gzip, deflate, or none"),
        ("Content-Type", "Text/XML;charset=UTF-8", "got content-type 'Text/XML', expected application/json"),
        ("content-type", "multipart/form-data; boundary=x", "got content-type 'multipart/form-data', expected appl"),
        ("content-type", "application/x-ndjson", "got content-type 'application/x-ndjson', expected application/json"),
        ("content-type", "application/json, text/csv", "got content-type 'text/csv', expected application/json"),
        ("content-type", 'application/json; charset="Latin1"', "got charset 'Latin1', expected utf-8"),
    ],
)
def test_headers_of_a_body_that_is_not_plain_json_are_refused(name: str, value: str, message: str) -> None:
    """The error names the header and its value as sent. Without a body the headers are not checked."""
    with pytest.raises(UnsupportedMedia, match=message):
        check_media_type({"body": "{}", "headers": {name: value}})
    check_media_type({"body": None, "headers": {name: value}})


@pytest.mark.parametrize(
    "value",
    ["", "application/json", "Application/JSON; Charset=UTF-8", "application/vnd.x+json", "text/json",
     "application/json, application/json", "application/json; charset=", 'application/json; profile="a, b; c"',
     "application/x-www-form-urlencoded", "text/plain;charset=UTF-8", "application/octet-stream", None],
)  # fmt: skip
def test_content_types_of_json_and_of_usual_clients_are_accepted(value: str | None) -> None:
    """JSON content types are accepted, and also the default types that clients such as curl and fetch send."""
    check_media_type({"body": "{}", "headers": {"content-type": value, "Content-Encoding": "identity"}})
    check_media_type({"body": "{}", "headers": {"content-type": "text/json", "content-encoding": None}})
    check_media_type({"body": "{}", "headers": None})


@pytest.mark.parametrize("event", [{}, {"body": None}, {"body": ""}])
def test_absent_body_is_empty_text(event: dict[str, object]) -> None:
    """No body is read as empty text. The route decides whether that is an error."""
    assert body_text(event) == ""


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (_encoded(b'{"inputs": "\xff"}'), "got byte 0xff at 12, expected UTF-8"),
        (_encoded(b"\xed\xa0\x80"), "expected UTF-8"),  # a surrogate written as UTF-8
        ({"body": "not base64!", "isBase64Encoded": True}, "not base64"),
        ({"body": "\ud800"}, "expected UTF-8"),
        ({"body": {"inputs": "x"}}, "got a body of type dict"),
    ],
)
def test_unreadable_body_is_bad_request(event: dict[str, object], message: str) -> None:
    """Broken base64 and invalid UTF-8 are errors of the caller, and name the place."""
    with pytest.raises(BadRequest, match=message):
        body_text(event)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty body"),
        (" \r\n", "empty body"),
        ("{", "not JSON"),
        ('{"a": "\x00"}', "not JSON"),
        ("[]", "got an array"),
        ('"text"', "got a string"),
        ("null", "got null"),
        ("true", "got a boolean"),
        ("1.5", "got a number"),
        ('{"a": NaN}', "got NaN"),
        ('{"a": -Infinity}', "got -Infinity"),
        ('{"a": 1e999}', "got 1e999"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' twice"),
        (
            '{"inputs": "a',
            r"^got a body that is not JSON at character 11 \(unterminated string\), expected one whole JSON",
        ),
        ('{"a": 1}}', r"at character 8 \(extra data\), expected one whole JSON value$"),
        ("[" * 200_000, "nested too deep"),
        ('{"a":' * 200_000, "nested too deep"),
    ],
)
def test_bad_json_is_bad_request(text: str, message: str) -> None:
    """Text that is not strict JSON is refused with the reason."""
    with pytest.raises(BadRequest, match=message):
        json_object(text)


def test_a_key_twice_among_many_is_named() -> None:
    """The repeated key of a very wide object is found in one pass."""
    keys = [f'"{i}":1' for i in range(300_000)]
    with pytest.raises(BadRequest, match="'299999' twice"):
        json_object("{" + ",".join([*keys, keys[-1]]) + "}")


@pytest.mark.parametrize(("depth", "fits"), [(MAX_JSON_DEPTH, True), (MAX_JSON_DEPTH + 1, False)])
def test_depth_limit(depth: int, *, fits: bool) -> None:
    """JSON of the allowed depth is read. One level more is refused."""
    text = "[" * depth + "]" * depth
    if fits:
        parse_json(text)
    else:
        with pytest.raises(BadRequest, match="more than 32 levels"):
            parse_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r'{"a": "\ud800"}', r"a: got the lone surrogate U\+D800 at character 0"),
        (r'{"\udfff": 1}', r"a key of the body: got the lone surrogate U\+DFFF"),
        (r'{"a": ["b", {"c": "xy\ude00\ud83d"}]}', r"a\[1\]\.c: got the lone surrogate U\+DE00 at character 2"),
    ],
)
def test_lone_surrogate_is_unprocessable(text: str, message: str) -> None:
    """A lone surrogate in a value or a key is refused with its place, so no tokenizer sees it."""
    with pytest.raises(Unprocessable, match=message):
        json_object(text)


def test_surrogate_pair_is_one_character() -> None:
    """An escaped pair of surrogates is read as one character."""
    assert json_object(r'{"a": "\ud83d\ude00"}') == {"a": "😀"}


@given(value=st.dictionaries(st.text(), VALUES, max_size=4), ascii_only=st.booleans())
def test_any_json_object_round_trips(*, value: dict[str, object], ascii_only: bool) -> None:
    """Every JSON object is read as `json.loads` reads it."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json_object(text) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Any bytes are read as an object or refused with one of our errors."""
    assert _outcome(data) in {"object", "refused"}


def _outcome(data: bytes) -> str:
    try:
        return "object" if isinstance(json_object(body_text(_encoded(data))), dict) else "something else"
    except GlossaError as error:
        return "refused" if 400 <= error.status < 500 else "server error"
