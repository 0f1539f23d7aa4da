"""A receiver cannot hold a call for longer than its deadline, or make it read more than a bounded head."""

from __future__ import annotations

import itertools
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from functions.jobs.steps.webhook_client import MAX_HEAD_BYTES, TOTAL_S, post
from shared.errors import Unavailable

SHORT_S = 0.2
Behave = Callable[[socket.socket], None]


@contextmanager
def hostile(behave: Behave) -> Iterator[int]:
    """Run a receiver on loopback that behaves so to one connection, until the connection breaks; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError):  # the caller has hung up, which is what it should do
                connection, _ = listening.accept()
                with connection:
                    behave(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def silent(connection: socket.socket) -> None:
    """Read everything and say nothing."""
    while connection.recv(65_536):
        pass


def sending(first: bytes, again: bytes) -> Behave:
    """Return a receiver that sends `first`, then `again` without end."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(again)

    return behave


def called(port: int, *, scheme: str = "http", body: bytes = b"{}", **how: object) -> int:
    """Call a receiver; return the status that it answered."""
    address = f"{scheme}://hooks.example:{port}/"
    return post(address, body, {}, reach="any", resolve=lambda *_: ["127.0.0.1"], **how)  # type: ignore[arg-type] # options


def ticking() -> Callable[[], float]:
    """Return a clock on which a second passes whenever it is read."""
    seconds = itertools.count()
    return lambda: float(next(seconds))


DRIPS = {
    "a status line": sending(b"HTTP/1.1 2", b"0"),
    "a header": sending(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    "headers": sending(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "continue": sending(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": sending(b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"),
}


def dripping(behave: Behave) -> Behave:
    """Return the receiver with its answer in pieces of one byte, each on its way before the next."""

    def behave_slowly(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        behave(_ByteByByte(connection))  # type: ignore[arg-type] # has the one method that is used
        silent(connection)

    return behave_slowly


class _ByteByByte:
    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._wait = connection, threading.Event()

    def sendall(self, data: bytes) -> None:
        for i in range(len(data)):
            self._connection.sendall(data[i : i + 1])
            self._wait.wait(0.002)


@pytest.mark.parametrize("kind", DRIPS)
def test_a_receiver_that_drips_is_given_up_at_the_deadline(kind: str) -> None:
    """Each byte comes soon after the last. Still the whole call ends at its one deadline, by any clock."""
    with hostile(dripping(DRIPS[kind])) as port, pytest.raises(Unavailable, match="took longer than 10 s"):
        called(port, clock_s=ticking())


@pytest.mark.parametrize("kind", DRIPS)
def test_an_endless_head_is_given_up_at_its_bound(kind: str) -> None:
    """A receiver that sends fast is given up after MAX_HEAD_BYTES, or as soon as what it sends is no HTTP."""
    with hostile(DRIPS[kind]) as port, pytest.raises(Unavailable, match=r"more than 16384 bytes|did not answer"):
        called(port)


def test_interim_answers_before_the_answer_are_read() -> None:
    """A few interim answers, in pieces of one byte, do no harm: the status is that of the answer."""

    def behave(connection: socket.socket) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        connection.sendall(interim * 2 + b"HTTP/1.1 204 No Content\r\n\r\n")

    with hostile(dripping(behave)) as port:
        assert called(port) == 204


def test_a_receiver_that_says_nothing_is_given_up() -> None:
    """It reads the request, or not even that, and answers nothing."""
    for behave in (silent, lambda _: threading.Event().wait(2 * SHORT_S)):
        with hostile(behave) as port, pytest.raises(Unavailable, match=r"took longer than 0\.2 s"):  # type: ignore[arg-type] # any answer
            called(port, total_s=SHORT_S, body=bytes(8 << 20))


def test_a_slow_handshake_is_given_up() -> None:
    """A receiver that accepts the connection and then never says hello, or drips it, meets the same deadline."""
    for behave in (silent, dripping(sending(b"\x16\x03\x03\x40\x00", b"\0"))):
        with hostile(behave) as port, pytest.raises(Unavailable, match=r"took longer than 0\.2 s"):
            called(port, scheme="https", total_s=SHORT_S)


def test_a_slow_resolver_is_given_up() -> None:
    """The system's resolver takes no deadline. Its thread is left behind."""
    answer = threading.Event()

    def resolve(_host: str, _port: int) -> Sequence[str]:
        answer.wait(60)
        return ["127.0.0.1"]

    try:
        with pytest.raises(Unavailable, match=r"took longer than 0\.2 s"):
            post("https://hooks.example/", b"", {}, reach="any", resolve=resolve, total_s=SHORT_S)
    finally:
        answer.set()


def test_the_host_of_a_name_is_checked_against_its_certificate(tmp_path: Path) -> None:
    """Over TLS a receiver with a trusted certificate of that name is answered, and one of another name is not."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)

    def behave(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as secure:
            seen = b""
            while not seen.endswith(b"{}"):
                seen += secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 202 Accepted\r\n\r\n")

    trust = ssl.create_default_context(cafile=str(certificate))
    with hostile(behave) as port:
        assert called(port, scheme="https", trust=trust) == 202
    with hostile(behave) as port, pytest.raises(Unavailable, match="SSLCertVerificationError"):
        post(f"https://other.example:{port}/", b"", {}, reach="any", resolve=lambda *_: ["127.0.0.1"], trust=trust)


def test_the_limits_are_those_that_the_docs_promise() -> None:
    """Ten seconds, and 16 KiB of head."""
    assert (TOTAL_S, MAX_HEAD_BYTES) == (10, 16_384)
