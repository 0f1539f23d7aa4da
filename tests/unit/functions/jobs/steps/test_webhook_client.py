"""Which addresses a webhook may have, and one POST to the address that was checked."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from functions.jobs.state.webhooks import check_url, is_public, sign
from functions.jobs.steps.webhook_client import post
from shared.errors import Unavailable, Unprocessable

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "::1", "::", "fd00::1", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
    "2002:a00:1::", "2001:0:53aa:64c::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_public(address: str) -> None:
    """Loopback, link-local, private, shared, multicast and translated addresses are refused."""
    assert not is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Unprocessable, match="public internet"):
        check_url(f"https://{host}/hook", "public")
    assert check_url(f"http://{host}:9/hook", "any") == f"http://{host}:9/hook"


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    """Addresses that are routed on the internet are allowed."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "https://", "https:///x", "https://a@example.com/", "//example.com",
     "https://example.com/#x", "https://example.com:99999/", "https://example.com:0/", "https://exa mple.com/",
     "https://example.com/\nx", "https://[::1", "https://exämple.com/", "https://e.com/" + "x" * 3000, "nonsense"],
)  # fmt: skip
def test_addresses_that_are_no_webhook_are_refused(url: str) -> None:
    """Anything but https://host/path is a 422 that says what is expected."""
    with pytest.raises(Unprocessable, match="expected"):
        check_url(url, "public")


@pytest.mark.parametrize("found", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1%eth0"]])
def test_a_name_that_leads_inside_is_refused(found: list[str]) -> None:
    """One private address among those of a name is enough. No connection is made."""
    with pytest.raises(Unprocessable, match="private address"):
        post("https://example.com/", b"", {}, reach="public", resolve=lambda *_: found)


@pytest.mark.parametrize("found", [[], OSError("no such name")])
def test_a_name_without_address_may_have_one_later(found: list[str] | OSError) -> None:
    """The error is retryable."""

    def resolve(_host: str, _port: int) -> Sequence[str]:
        if isinstance(found, OSError):
            raise found
        return found

    with pytest.raises(Unavailable):
        post("https://example.com/", b"", {}, reach="public", resolve=resolve)


Seen = list[tuple[str, str, bytes, str | None]]


@contextmanager
def receiver(status: int, seen: Seen) -> Iterator[int]:
    """Run a server on loopback that answers `status` to every POST and keeps what it saw; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.headers["host"], self.path, body, self.headers["glossa-signature"]))
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [204, 302, 500])
def test_one_post_to_the_address_that_was_checked(status: int) -> None:
    """The Host header has the name, the connection goes to its address, and a redirect is not followed."""
    seen: Seen = []
    with receiver(status, seen) as port:
        url = f"http://hooks.example:{port}/a/b?c=d"
        signed = {"glossa-signature": sign("secret", b"{}", 5)}
        found = post(url, b"{}", signed, reach="any", resolve=lambda *_: ["127.0.0.1"])
    assert found == status
    assert seen == [(f"hooks.example:{port}", "/a/b?c=d", b"{}", signed["glossa-signature"])]


def test_nobody_there_is_worth_another_try() -> None:
    """A refused connection is Unavailable, and its message holds no address."""
    with receiver(200, []) as port:
        pass
    with pytest.raises(Unavailable, match="did not answer") as refused:
        post(f"http://hooks.example:{port}/", b"", {}, reach="any", resolve=lambda *_: ["127.0.0.1"])
    assert "127" not in refused.value.message
