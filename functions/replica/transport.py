"""Sends bytes to the model server over HTTP, signed, and returns its reply. Connections open on first use.

Its errors distinguish what the caller must treat differently: never connected, reply lost, reply late, reply too large.
This module must not know what the bytes mean. It retries nothing, except that a call whose key the server does not know
is signed anew when there is another key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import urllib3
from urllib3 import exceptions

from shared.call_keys import KeySource
from shared.call_token import TOKEN_HEADER, sign
from shared.errors import UnknownCallKey
from shared.log import log_event

UNAUTHENTICATED = UnknownCallKey.status
CONNECT_TIMEOUT_S = 1.0
MIN_TIMEOUT_S = 0.001
# After these no connection is used again. HAProxy starts anew when replicas change; the process that it was before goes
# on answering on its connections, and knows no replica that started since.
UNAVAILABLE = 503
REFUSALS_OF_PROXIES = frozenset({502, UNAVAILABLE})
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""


class TransportError(Exception):
    """There is no complete reply. Each subclass says why."""


class NotConnected(TransportError):
    """The server was not reached, so it has not seen the request."""


class ReplyLost(TransportError):
    """The connection broke after the request was sent and before the reply was complete."""


class ReplyLate(TransportError):
    """The reply was not complete in time."""


class ReplyTooLarge(TransportError):
    """The reply is larger than the caller allows."""


class Transport(Protocol):
    """Exchanges single requests with the model server."""

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int,
        tenant: str | None = None,
    ) -> Reply:  # fmt: skip
        """Send one request and return the reply.

        `timeout_s` limits the whole exchange in seconds, `max_bytes` the body of the reply. `tenant` is the tenant hash
        that a signed call speaks for, "" for the service itself, None for a call that needs no signature. Raises
        TransportError when there is no complete reply.
        """
        ...

    def close(self) -> None:
        """Close idle connections, as before a Lambda snapshot. The next `send` opens new ones."""
        ...


class SignedTransport:
    """A Transport that signs each call with the keys of a source before another one sends it."""

    def __init__(self, transport: Transport, keys: KeySource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._keys = keys
        self._clock = clock

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int,
        tenant: str | None = None,
    ) -> Reply:  # fmt: skip
        """Send one signed request. Raises as `Transport.send`, and Unavailable when there are no keys."""
        if tenant is None:
            return self._transport.send(method, path, headers, data, timeout_s=timeout_s, max_bytes=max_bytes)
        ends_s = self._clock() + timeout_s

        def send_signed() -> tuple[Reply, str]:
            keys = self._keys.keys()
            signed = {**headers, TOKEN_HEADER: sign(keys, method, path, data, tenant=tenant)}
            left_s = max(ends_s - self._clock(), MIN_TIMEOUT_S)
            reply = self._transport.send(method, path, signed, data, timeout_s=left_s, max_bytes=max_bytes)
            return reply, keys.signing

        reply, key_id = send_signed()
        is_unknown = reply.status == UNAUTHENTICATED and UnknownCallKey.code.encode() in reply.data
        if is_unknown and self._keys.has_other_than(key_id):
            reply, key_id = send_signed()
        if reply.status == UNAUTHENTICATED:  # our caller sees no more than that the model server did not take the call
            code = UnknownCallKey.code if is_unknown else "unauthenticated"
            log_event("call-refused", level="error", code=code, reason=f"signed with key {key_id}")
        return reply

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()


class HttpTransport:
    """A Transport over urllib3. Its connections to one base URL are kept alive and shared by threads.

    It follows no redirects. `ca` is the certificate, in PEM, of the authority that signed the server's; without it the
    authorities of this machine are trusted.
    """

    def __init__(
        self,
        base_url: str,
        *,
        n_connections: int = 4,
        ca: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca = ca
        self._base_url = base_url.rstrip("/")
        self._n_connections = n_connections
        self._clock = clock
        self._lock = Lock()
        self._pool: urllib3.PoolManager | None = None

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int,
        tenant: str | None = None,  # noqa: ARG002 - this transport signs nothing
    ) -> Reply:  # fmt: skip
        """Send one request and read the complete reply. Raises as `Transport.send`.

        A refusal on a connection that was kept may be of an old HAProxy. So the request is sent once more on a new one.
        """
        deadline_s, is_kept = self._clock() + timeout_s, self._pool is not None
        reply = self._exchange(method, path, headers, data, timeout_s=timeout_s, max_bytes=max_bytes)
        left_s = deadline_s - self._clock()
        if reply.status == UNAVAILABLE and is_kept and left_s > MIN_TIMEOUT_S:
            reply = self._exchange(method, path, headers, data, timeout_s=left_s, max_bytes=max_bytes)
        return reply

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int
    ) -> Reply:
        deadline_s = self._clock() + timeout_s
        timeout = urllib3.Timeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        response: urllib3.BaseHTTPResponse | None = None
        try:
            response = self._connections().request(
                method, self._base_url + path, body=data, headers=headers, timeout=timeout,
                retries=False, redirect=False, preload_content=False, decode_content=False,
            )  # fmt: skip
            body = self._read(response, deadline_s, max_bytes)
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.SSLError) as error:
            raise NotConnected(type(error).__name__) from error
        except exceptions.TimeoutError as error:
            raise ReplyLate(type(error).__name__) from error
        except (exceptions.HTTPError, OSError, ValueError) as error:
            raise ReplyLost(type(error).__name__) from error
        finally:
            _release(response)
        if response.status in REFUSALS_OF_PROXIES:
            self.close()
        return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def close(self) -> None:
        """Close the connection pool. The next `send` makes a new one."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def _connections(self) -> urllib3.PoolManager:
        with self._lock:
            if self._pool is None:
                self._pool = urllib3.PoolManager(
                    num_pools=1, maxsize=self._n_connections, cert_reqs="CERT_REQUIRED", ca_cert_data=self._ca
                )
            return self._pool

    def _read(self, response: urllib3.BaseHTTPResponse, deadline_s: float, max_bytes: int) -> bytes:
        if int(response.headers.get("content-length") or 0) > max_bytes:
            raise ReplyTooLarge(f"{response.headers['content-length']} bytes")
        body = bytearray()
        while chunk := response.read1(_READ_BYTES):  # at most one receive, so that the time is checked between receives
            body += chunk
            if len(body) > max_bytes:
                raise ReplyTooLarge(f"more than {max_bytes} bytes")
            if self._clock() > deadline_s:
                raise ReplyLate("the reply trickled past its time")
        return bytes(body)


def _release(response: urllib3.BaseHTTPResponse | None) -> None:
    """Return the connection to the pool if its reply was read to the end. Close it otherwise."""
    if response is None:
        return
    if not response.closed:
        response.close()
    response.release_conn()
