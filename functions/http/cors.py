"""Which browser pages of other origins may call the API, and the headers that say so.

An origin is named exactly, never by `*`. Without any there are no headers. No cookie is ever read, so credentials are
never allowed. Must not know routes or tasks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from functions.http.request_body import header

ORIGIN = re.compile(r"https://[a-z0-9.-]+(?::[0-9]{1,5})?|http://(?:localhost|127\.0\.0\.1)(?::[0-9]{1,5})?")
METHODS = "GET, HEAD, POST, DELETE"
EXPOSED = (
    "Retry-After, Server-Timing, X-Request-Id, Allow, WWW-Authenticate, Inference-Header-Content-Length, "
    "x-amzn-RequestId, x-amzn-ErrorType"
)
KEPT_S = 7200  # how long a browser keeps a preflight; Chromium keeps none longer
MAX_ASKED_CHARS = 2000  # of the names of headers that a page wants to send
_ASKED = re.compile(rf"[A-Za-z0-9!#$%&'*+.^_`|~, -]{{0,{MAX_ASKED_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins whose pages may call the API from a browser."""

    origins: frozenset[str] = frozenset()

    def headers(self, event: Mapping[str, object]) -> dict[str, str]:
        """Return the headers that every answer to this request has."""
        if not self.origins:
            return {}
        origin = header(event, "origin")
        if origin not in self.origins:
            return {"Vary": "Origin"}
        return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED}

    def preflight(self, event: Mapping[str, object]) -> dict[str, str] | None:
        """Return what the answer to a browser's preflight has besides, or None when the request is none.

        A page may send any header: clients send names of their own, and only listed origins get this far.
        """
        if header(event, "origin") not in self.origins or not header(event, "access-control-request-method"):
            return None
        asked = header(event, "access-control-request-headers")
        allowed = {"Access-Control-Allow-Headers": asked} if asked and _ASKED.fullmatch(asked) else {}
        return {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(KEPT_S), **allowed}


NO_CORS = Cors()
