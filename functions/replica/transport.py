"""Bytes to the model server and back over HTTP; opens its connections on first use.

Tells apart only what the caller must treat differently: never connected, reply lost, no reply in
time, reply too large. Must not know what the bytes mean, nor retry anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import urllib3
from urllib3 import exceptions as faults

CONNECT_TIMEOUT_S = 1.0
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""


class TransportError(Exception):
    """No whole reply; each subclass says how far it came."""


class NotConnected(TransportError):
    """The server was never reached, so it cannot have done anything."""


class ReplyLost(TransportError):
    """The connection broke after the request was sent, before the whole reply was here."""


class ReplyLate(TransportError):
    """No whole reply within the time given."""


class ReplyTooLarge(TransportError):
    """The reply is larger than the caller wants to hold."""


class Transport(Protocol):
    """One exchange with the model server. Raises TransportError for anything but a whole reply."""

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int
    ) -> Reply:
        """Send one request; `timeout_s` is for all of it, `max_bytes` bounds the reply's body."""
        ...

    def close(self) -> None:
        """Drop idle connections, as before a snapshot; the next send opens new ones."""
        ...


class HttpTransport:
    """urllib3 connections to one base URL, kept alive and shared by threads. Follows no redirect."""

    def __init__(self, base_url: str, *, n_connections: int = 4, clock: Callable[[], float] = time.monotonic) -> None:
        self._base_url = base_url.rstrip("/")
        self._n_connections = n_connections
        self._clock = clock
        self._lock = Lock()
        self._pool: urllib3.PoolManager | None = None

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int
    ) -> Reply:
        """Send one request and read the whole reply."""
        until_s = self._clock() + timeout_s
        timeout = urllib3.Timeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        response: urllib3.BaseHTTPResponse | None = None
        try:
            response = self._connections().request(
                method, self._base_url + path, body=data, headers=headers, timeout=timeout,
                retries=False, redirect=False, preload_content=False, decode_content=False,
            )  # fmt: skip
            body = self._read(response, until_s, max_bytes)
        except (faults.NewConnectionError, faults.ConnectTimeoutError, faults.SSLError) as error:
            raise NotConnected(type(error).__name__) from error
        except faults.TimeoutError as error:
            raise ReplyLate(type(error).__name__) from error
        except (faults.HTTPError, OSError, ValueError) as error:
            raise ReplyLost(type(error).__name__) from error
        finally:
            _give_back(response)
        return Reply(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    def close(self) -> None:
        """Drop the pool; the next send makes another."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def _connections(self) -> urllib3.PoolManager:
        with self._lock:
            if self._pool is None:
                self._pool = urllib3.PoolManager(num_pools=1, maxsize=self._n_connections)
            return self._pool

    def _read(self, response: urllib3.BaseHTTPResponse, until_s: float, max_bytes: int) -> bytes:
        if int(response.headers.get("content-length") or 0) > max_bytes:
            raise ReplyTooLarge(f"{response.headers['content-length']} bytes")
        body = bytearray()
        while chunk := response.read1(_READ_BYTES):  # at most one receive, so that the clock is looked at between
            body += chunk
            if len(body) > max_bytes:
                raise ReplyTooLarge(f"more than {max_bytes} bytes")
            if self._clock() > until_s:
                raise ReplyLate("the reply trickled past its time")
        return bytes(body)


def _give_back(response: urllib3.BaseHTTPResponse | None) -> None:
    """Return the connection for reuse if its reply was read to the end, else close it."""
    if response is None:
        return
    if not response.closed:
        response.close()
    response.release_conn()
