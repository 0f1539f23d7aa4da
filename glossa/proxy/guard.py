"""Who is let in: only a program of this machine that has the token, never a page in a browser.

The proxy signs with a person's own credentials. So it refuses what a page of another origin, a name that resolves to
this machine, or a program without the token could send. Pure. Must not know ASGI servers or AWS.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
MIN_TOKEN_CHARS = 32
MAX_HEAD_BYTES = 16 << 10  # more than API Gateway takes
HTTP_PORT = 80  # of http, which a Host leaves out
_VISIBLE = re.compile(r"[!-~]*")
_TARGET = re.compile(rb"[!\"$-~]*")  # RFC 9112, 3.2: visible ASCII; a fragment is never sent
FROM_PAGES = frozenset({b"cross-site", b"same-site"})  # of Sec-Fetch-Site, which no page can set


class Refusal(Exception):
    """A request that is not passed on: the status, what was wrong, and what would be right."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Received:
    """The head of a request. `path` is as it came, without the query. Names of headers are in lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]

    def all_of(self, name: bytes) -> list[bytes]:
        """Return every value of a header."""
        return [value for known, value in self.headers if known == name]


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets in requests to this port that carry the token. `host` is the address that was bound."""

    token: str = field(repr=False)
    port: int = 0
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Refuse a token that could be guessed."""
        if len(self.token) < MIN_TOKEN_CHARS or not _VISIBLE.fullmatch(self.token):
            found = f"got a token of {len(self.token)} characters"
            raise ValueError(
                f"{found}, expected {MIN_TOKEN_CHARS} or more visible ones, no spaces; `openssl rand -hex 32` makes one"
            )

    def check(self, request: Received) -> None:
        """Raise Refusal unless the request may be passed on."""
        if sum(len(name) + len(value) for name, value in request.headers) + len(request.path) > MAX_HEAD_BYTES:
            raise Refusal(431, "too-large", f"got headers of more than {MAX_HEAD_BYTES} bytes, at most that")
        hosts = self._hosts()
        sent = request.all_of(b"host")
        if len(sent) != 1 or sent[0].lower() not in hosts:
            expected = " or ".join(host.decode() for host in hosts)
            raise Refusal(421, "wrong-host", f"got another name of this proxy in the header Host, expected {expected}")
        origins = [b"http://" + host for host in hosts]
        if any(origin.lower() not in origins for origin in request.all_of(b"origin")) or (
            FROM_PAGES & set(request.all_of(b"sec-fetch-site"))
        ):
            raise Refusal(403, "foreign-origin", "got a request of a page in a browser, expected one of a program")
        if not self._has_token(request.all_of(b"authorization")):
            said = "got no `Authorization: Bearer` with the token of this proxy, expected it; the proxy printed it"
            raise Refusal(401, "unauthenticated", said, {"www-authenticate": "Bearer"})
        if request.method not in METHODS:
            allowed = ", ".join(sorted(METHODS))
            raise Refusal(405, "method-not-allowed", f"got another method, expected {allowed}", {"allow": allowed})
        _check_path(request.path)
        if not _TARGET.fullmatch(request.path + request.query):
            raise Refusal(
                400, "bad-request", "got a path or a query with spaces, # or letters beyond ASCII, expected them as %XX"
            )

    def _hosts(self) -> list[bytes]:
        """Return the names of this proxy in the header Host; the one that was bound is first."""
        bound = f"[{self.host}]" if ":" in self.host else self.host
        names = list(dict.fromkeys((bound, "127.0.0.1", "localhost", "[::1]")))
        short = names if self.port == HTTP_PORT else []
        return [name.encode() for name in (*(f"{name}:{self.port}" for name in names), *short)]

    def _has_token(self, values: Sequence[bytes]) -> bool:
        scheme, _, given = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self.token.encode())


def _check_path(path: bytes) -> None:
    """Refuse a path that names another host, or that leads out of the stage of the API."""
    plain = unquote_to_bytes(path)
    parts = plain.replace(b"\\", b"/").split(b"/")
    if not path.startswith(b"/") or b"." in parts or b".." in parts or any(byte < ord(" ") for byte in plain):
        raise no_path()


def no_path() -> Refusal:
    """Return the refusal of a path or a query that cannot be one of the API."""
    return Refusal(400, "bad-request", "got a path that is none of this API, expected one such as /v1/models")
