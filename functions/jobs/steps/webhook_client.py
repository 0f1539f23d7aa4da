"""Sends one POST to an address that a caller chose, only if that address may be called. Reads nothing but the status.

The host name is resolved here, and the connection goes to the very address that was checked. So a name that changes
between the check and the connection reaches no private address. Redirects are not followed. Must not know jobs.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from functions.jobs.state.webhooks import HTTP_PORTS, Reach, check_url, is_public
from shared.errors import Unavailable, Unprocessable

TIMEOUT_S = 10.0
Resolve = Callable[[str, int], Sequence[str]]


def post(url: str, body: bytes, headers: Mapping[str, str], *, reach: Reach, resolve: Resolve | None = None) -> int:
    """Send a body; return the status of the answer.

    Raises Unprocessable for an address that may not be called, and Unavailable when there is no answer.
    """
    parts = urlsplit(check_url(url, reach))
    host, port = parts.hostname or "", parts.port or HTTP_PORTS[parts.scheme]
    address = _address(host, port, reach, resolve or resolve_name)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Pinned(host, port, address, secure=parts.scheme == "https")
    try:
        connection.request("POST", path, body=body, headers=dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"a webhook did not answer: {type(error).__name__}") from None
    finally:
        connection.close()


def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of a name. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _address(host: str, port: int, reach: Reach, resolve: Resolve) -> str:
    try:
        found = list(resolve(host, port))
    except OSError:
        raise Unavailable("the name of a webhook's host cannot be resolved") from None
    if not found:
        raise Unavailable("the name of a webhook's host has no address")
    private = [each for each in found if not is_public(ipaddress.ip_address(each.partition("%")[0]))]
    if reach == "public" and private:
        raise Unprocessable("got a webhook whose host has a private address, expected one of the public internet")
    return found[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to one IP address. The certificate check and the Host header use the host name."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._address, self._secure = address, secure
        self.default_port = HTTP_PORTS["https" if secure else "http"]  # the Host header leaves this port out

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), timeout=TIMEOUT_S)
        if not self._secure:
            self.sock = plain
            return
        try:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise
