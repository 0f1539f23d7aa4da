"""Sends one POST to an address that a caller chose, only if that address may be called. Reads nothing but the head.

One deadline holds for everything from resolving the name to the end of the head, and the head is bounded, whatever the
receiver does. The host name is resolved here, and the connection goes to the very address that was checked. So a name
that changes between the check and the connection reaches no private address. Redirects are not followed. Must not know
jobs.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.jobs.state.webhooks import HTTP_PORTS, Reach, check_url, is_public
from shared.errors import Unavailable, Unprocessable

TOTAL_S = 10.0
MAX_HEAD_BYTES = 16_384  # of status lines and headers, those of interim answers included
INTERIM = frozenset(range(100, 200)) - {http.client.SWITCHING_PROTOCOLS}
Resolve = Callable[[str, int], Sequence[str]]


class TooMuch(OSError):
    """The head of an answer is longer than MAX_HEAD_BYTES."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time at which a call is given up, on the clock `clock_s`."""

    at_s: float
    clock_s: Callable[[], float]

    def left_s(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        left_s = self.at_s - self.clock_s()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    reach: Reach,
    resolve: Resolve | None = None,
    total_s: float = TOTAL_S,
    clock_s: Callable[[], float] = time.monotonic,
    trust: ssl.SSLContext | None = None,
) -> int:
    """Send a body; return the status of the answer.

    `trust` replaces the certificates that are trusted. Raises Unprocessable for an address that may not be called, and
    Unavailable when no whole head of an answer comes within `total_s` seconds.
    """
    parts = urlsplit(check_url(url, reach))
    host, port = parts.hostname or "", parts.port or HTTP_PORTS[parts.scheme]
    deadline = Deadline(clock_s() + total_s, clock_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        address = _address(_resolved(host, port, resolve or resolve_name, deadline), reach)
        secure = (trust or ssl.create_default_context()) if parts.scheme == "https" else None
        with contextlib.closing(_Pinned(host, port, address, secure, deadline)) as connection:
            connection.request("POST", path, body=body, headers=dict(headers))
            return connection.getresponse().status
    except TimeoutError:
        raise Unavailable(f"a webhook took longer than {total_s:g} s") from None
    except TooMuch:
        raise Unavailable(f"a webhook answered with a head of more than {MAX_HEAD_BYTES} bytes") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"a webhook did not answer: {type(error).__name__}") from None


def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of a name. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _resolved(host: str, port: int, resolve: Resolve, deadline: Deadline) -> Sequence[str]:
    """Resolve a name on a thread of its own, because the system's resolver takes no deadline.

    The thread may outlive the call.
    """
    answers: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(resolve(host, port))
        except OSError as error:
            answers.put(error)
        except UnicodeError:  # a label of the name is empty or too long
            answers.put(OSError("no host name"))

    threading.Thread(target=run, daemon=True).start()
    try:
        found = answers.get(timeout=deadline.left_s())
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, OSError):
        raise Unavailable("the name of a webhook's host cannot be resolved")
    return found


def _address(found: Sequence[str], reach: Reach) -> str:
    if not found:
        raise Unavailable("the name of a webhook's host has no address")
    private = [each for each in found if not is_public(ipaddress.ip_address(each.partition("%")[0]))]
    if reach == "public" and private:
        raise Unprocessable("got a webhook whose host has a private address, expected one of the public internet")
    return found[0]


class _Answer(http.client.HTTPResponse):
    """An answer after all interim ones. http.client itself skips 100 alone, and takes 103 for the answer."""

    def begin(self) -> None:
        super().begin()
        while self.status in INTERIM:
            self.headers = None  # type: ignore[assignment] # so begins http.client's own reading of a head
            super().begin()


class _Pinned(http.client.HTTPConnection):
    """A connection to one IP address. The certificate check and the Host header use the host name."""

    response_class = _Answer

    def __init__(self, host: str, port: int, address: str, secure: ssl.SSLContext | None, deadline: Deadline) -> None:
        super().__init__(host, port)
        self._address, self._secure, self._deadline = address, secure, deadline
        self.default_port = HTTP_PORTS["https" if secure else "http"]  # the Host header leaves this port out

    def connect(self) -> None:
        left_s = self._deadline.left_s
        connected = socket.create_connection((self._address, self.port), timeout=left_s())
        if self._secure is not None:
            try:
                connected.settimeout(left_s())  # of the whole handshake
                connected = self._secure.wrap_socket(connected, server_hostname=self.host)
            except OSError:
                connected.close()
                raise
        self.sock = _Bounded(connected, self._deadline)  # has what http.client calls


class _Bounded:
    """A socket whose every operation ends at the deadline, and of which at most MAX_HEAD_BYTES are read."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._connected, self._deadline = connected, deadline

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._connected.settimeout(self._deadline.left_s())
            rest = rest[self._connected.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Head(self._connected, self._deadline))

    def close(self) -> None:
        self._connected.close()


class _Head(io.RawIOBase):
    """Reads from a socket until the deadline, and at most MAX_HEAD_BYTES."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._connected, self._deadline, self._left_bytes = connected, deadline, MAX_HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # no type before Python 3.12 says: something writable
        if not self._left_bytes:
            raise TooMuch
        self._connected.settimeout(self._deadline.left_s())
        n_read = self._connected.recv_into(memoryview(buffer)[: self._left_bytes])
        self._left_bytes -= n_read
        return n_read
