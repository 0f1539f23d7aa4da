"""A job's webhook: the address and the secret that its owner gave, which addresses may be called, and signatures.

Pure. Both are secret, because many receivers put a token into the address. So a webhook is stored sealed, in a table
of its own. Must not know HTTP, the table or the key.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from shared.errors import Unprocessable

Reach = Literal["public", "any"]
MAX_URL_CHARS = 2048
HTTP_PORTS = {"https": 443, "http": 80}
MIN_PORT = 1
# An address of these networks contains an IPv4 address, which may be private.
_TRANSLATED = tuple(ipaddress.ip_network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The address that is told when a job has ended, and the secret that signs the message."""

    url: str = field(repr=False)
    secret: str = field(repr=False)

    def to_text(self) -> str:
        """Return the text that is sealed. It has at most 2,305 bytes, and KMS takes 4,096."""
        return f"{self.secret}\n{self.url}"

    @classmethod
    def from_text(cls, text: str) -> Webhook:
        """Read the text that `to_text` made."""
        secret, _, url = text.partition("\n")
        return cls(url=url, secret=secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWebhook:
    """A webhook as the table keeps it: encrypted."""

    sealed: str
    expires_at: int


def seal_context(tenant: str, job: str) -> Mapping[str, str]:
    """Return what a sealed webhook is bound to. Moved to another job or tenant, it cannot be opened."""
    return {"tenant": tenant, "job": job}


def secret_digest(secret: str, tenant: str, job: str) -> str:
    """Return a digest that tells two secrets apart, for the item of the job.

    scrypt makes each guess at a secret dear for a reader of the table. The salt makes it useless for other jobs.
    """
    made = hashlib.scrypt(secret.encode(), salt=f"{tenant}/{job}".encode(), n=1 << 14, r=8, p=1, dklen=32)
    return made.hex()


def check_url(url: str, reach: Reach) -> str:
    """Return a webhook's address unchanged.

    Raises Unprocessable unless it is an https address whose host is not a private address. With reach `any`, which the
    emulator uses, http and every host are allowed too.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Unprocessable(f"got webhook url {_shown(url)}, expected https://host/path") from None
    schemes = {"https"} if reach == "public" else {"https", "http"}
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL_CHARS
    if not plain or parts.scheme not in schemes or not host or parts.username is not None or parts.fragment:
        raise Unprocessable(f"got webhook url {_shown(url)}, expected https://host/path, without user or fragment")
    if port is not None and port < MIN_PORT:
        raise Unprocessable(f"got port {port} in a webhook url, expected 1 to 65535")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return url
    if reach == "public" and not is_public(literal):
        raise Unprocessable(f"got webhook host {host}, expected an address of the public internet")
    return url


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is on the public internet: not private, local, shared, reserved, multicast or translated."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def sign(secret: str, body: bytes, now_s: int) -> str:
    """Return the value of `glossa-signature`: `t=<epoch seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""
    digest = hmac.new(secret.encode(), f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now_s},v1={digest}"


def _shown(url: str) -> str:
    return ascii(url[:80])
