"""Which addresses are those of an API, where secrets may go, and how paths and queries are written.

The client, `glossa ask`, `glossa batch` and `glossa proxy` take the same. Must not know the HTTP library or signatures.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

from glossa.client.errors import InvalidRequest

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
FORM = "https://HOST/STAGE in ASCII, without user, query or fragment"
MAX_LABEL_CHARS = 63  # of a part of a host between dots, by DNS
_ESCAPES = re.compile(r"(%[0-9A-Fa-f]{2})")
_USER = re.compile(r"//[^/]*@")
_IN_PATHS = "/!$&'()*+,;=:@-._~"  # RFC 3986, 3.3; everything else is written as %XX


def is_address(text: str) -> bool:
    """Tell whether a text is the address of an API: http or https, a host, and at most a path, in ASCII.

    A host or a stage of other letters would be signed in one writing and sent in another.
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:  # a bracket that is not closed, or a port that is none
        return False
    has_more = "@" in parts.netloc or "?" in text or "#" in text
    is_host = all(0 < len(label) <= MAX_LABEL_CHARS for label in host.removesuffix(".").split("."))
    is_http = parts.scheme in {"https", "http"} and is_host
    return is_http and not has_more and text.isascii() and _is_one_word(text)


def shown_address(text: str) -> str:
    """Return what a message may say of an address that was refused: without the user and the password in it."""
    return repr(_USER.sub("//…@", text))


def is_private(url: str) -> bool:
    """Tell whether nobody on the way can read a request: it goes over https, or stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in THIS_MACHINE


def joined(base_url: str, path: str) -> str:
    """Return the URL of a route, its path and its query written as they are signed.

    Raises InvalidRequest for a path that does not begin with a slash: it would change the host, and get the key there.
    """
    if not path.startswith("/") or "#" in path or not _is_one_word(path):
        raise InvalidRequest(
            f"got the path {path!r}, expected a slash, then visible characters without #, such as /v1/models"
        )
    route, _, query = path.partition("?")
    return base_url.rstrip("/") + encoded_path(route) + (f"?{encoded_query(query.encode())}" if query else "")


def encoded_path(path: str) -> str:
    """Return a path as HTTP carries it: what it cannot hold as it is becomes %XX of UTF-8, and %XX stays.

    An HTTP library would do so after the signature was made.
    """
    parts = _ESCAPES.split(path)
    return "".join(part if _ESCAPES.fullmatch(part) else quote(part, safe=_IN_PATHS) for part in parts)


def encoded_query(query: bytes) -> str:
    """Return a query as SigV4 writes it, all but letters, digits and `-._~` as %XX: what is signed is then sent."""
    pairs = (pair.replace(b"+", b" ").partition(b"=") for pair in query.split(b"&") if pair)
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs)


def _encoded(text: bytes) -> str:
    return quote(unquote_to_bytes(text), safe="")


def _is_one_word(text: str) -> bool:
    return text.isprintable() and " " not in text
