"""The one API that the proxy passes requests on to, and the signature that it wants. Must not know ASGI servers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glossa.client.address import FORM, encoded_query, is_address, is_private, shown_address
from glossa.client.signing import region_of, signature
from glossa.proxy.guard import Received, Refusal, no_path
from glossa.proxy.headers import to_api

if TYPE_CHECKING:
    import httpx2

ANSWER_S = 35.0  # API Gateway answers within 29 s
CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """An API by its address, with its stage, and the region that its requests are signed for."""

    url: str
    region: str
    credentials: Callable[[], Any]

    @classmethod
    def at(cls, url: str, region: str | None, credentials: Callable[[], Any]) -> Upstream:
        """Return the API at an address. Raises ValueError for an address that is none of an API."""
        if not is_address(url) or not is_private(url):
            raise ValueError(f"got the address {shown_address(url)}, expected that of the API: {FORM}")
        found = region or region_of(url)
        if found is None:
            raise ValueError(
                f"got {urlsplit(url).hostname}, which names no region, expected --region with that of the API"
            )
        return cls(url.rstrip("/"), found, credentials)

    def request(self, received: Received, body: bytes) -> httpx2.Request:
        """Return the request to the API, signed. Raises Refusal when there is nothing to sign it with."""
        import httpx2  # noqa: PLC0415 - takes 150 ms, and only a proxy needs it

        query = b"?" + encoded_query(received.query).encode() if received.query else b""
        base = httpx2.URL(self.url)
        try:
            url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + received.path + query)
        except httpx2.InvalidURL:
            raise no_path() from None
        try:
            signed = signature(received.method, str(url), body, self.region, self.credentials())
        except Exception as error:  # noqa: BLE001 - botocore has many errors, and a text of it may hold a secret
            said = f"the request cannot be signed ({type(error).__name__}); look at your AWS credentials"
            raise Refusal(502, "no-credentials", said) from None
        headers = [*to_api(received.headers), *((name.encode(), value.encode()) for name, value in signed.items())]
        timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S).as_dict()
        return httpx2.Request(received.method, url, headers=headers, content=body, extensions={"timeout": timeout})
