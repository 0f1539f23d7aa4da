"""Which headers go on, in both directions. Pure. Must not know ASGI servers or AWS."""

from __future__ import annotations

from collections.abc import Iterable

# RFC 9110, 7.6.1: they are for one connection; those that `Connection` names are, too.
HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
    b"transfer-encoding", b"upgrade",
})  # fmt: skip
# What is ours to set, what is the caller's secret, and what says where the caller is.
OWN = frozenset(
    {b"host", b"authorization", b"content-length", b"expect", b"cookie", b"origin", b"referer", b"forwarded"}
)
OWN_PREFIXES = (b"x-amz-", b"x-forwarded-", b"sec-", b"proxy-")
Headers = list[tuple[bytes, bytes]]


def to_api(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of a request that go to the API. What the caller does not accept is not sent to it."""
    kept = [
        (name, value) for name, value in _end_to_end(headers) if name not in OWN and not name.startswith(OWN_PREFIXES)
    ]
    return kept if any(name == b"accept-encoding" for name, _ in kept) else [*kept, (b"accept-encoding", b"identity")]


def to_caller(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of an answer that go to the caller. Cookies stay here: programs share this address."""
    return [(name, value) for name, value in _end_to_end(headers) if name != b"set-cookie"]


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    lower = [(name.lower(), value) for name, value in headers]
    named = {word.strip().lower() for name, value in lower if name == b"connection" for word in value.split(b",")}
    return [(name, value) for name, value in lower if name not in HOP_BY_HOP | named]
