"""Headers that are for one connection, or that are somebody's secret, do not go on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glossa.proxy.headers import HOP_BY_HOP, to_api, to_caller


def test_headers_of_one_connection_stay_there() -> None:
    """Hop-by-hop headers, those that Connection names, cookies and what is ours to set are dropped both ways."""
    sent = [
        (b"Connection", b"close, X-Private"), (b"X-Private", b"1"), (b"TE", b"trailers"), (b"Host", b"h"),
        (b"Authorization", b"Bearer t"), (b"X-Amz-Date", b"1"), (b"Cookie", b"c"), (b"Idempotency-Key", b"k"),
        (b"X-Forwarded-For", b"1.2.3.4"), (b"Content-Type", b"application/json"), (b"Accept-Encoding", b"gzip"),
    ]  # fmt: skip
    assert to_api(sent) == [
        (b"idempotency-key", b"k"), (b"content-type", b"application/json"), (b"accept-encoding", b"gzip")
    ]  # fmt: skip
    assert to_api([]) == [(b"accept-encoding", b"identity")]
    answered = [
        (b"Set-Cookie", b"c"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Retry-After", b"3"),
        (b"Server-Timing", b"x"),
    ]
    assert to_caller(answered) == [(b"retry-after", b"3"), (b"server-timing", b"x")]


NAMES = st.sampled_from([*HOP_BY_HOP, b"x-own", b"accept", b"Connection", b"x-amz-date", b"authorization"])


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"close", b"x-own, accept", b"1"]))))
def test_no_header_of_a_connection_goes_on(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever headers come, none that is for one connection, and no credential, goes to the API."""
    named = {word.strip() for name, value in headers if name.lower() == b"connection" for word in value.split(b",")}
    gone = {name for name, _ in to_api(headers)}
    assert not gone & (HOP_BY_HOP | {b"authorization", b"x-amz-date"} | (named - {b"1"}))
