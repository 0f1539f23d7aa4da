"""The proxy on a real socket: it binds this machine alone, and real clients get their answers through it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import httpx2
import pytest
from botocore.credentials import Credentials

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from glossa.client import Client
from glossa.proxy.app import Proxy
from glossa.proxy.guard import Guard
from glossa.proxy.server import bind, server_of
from glossa.proxy.upstream import Upstream
from tests.loopback import serving

TOKEN = "a-token-of-the-tests-0123456789abcdef"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.com", "", "127.0.0.1.evil.example"])  # noqa: S104 - must be refused
def test_other_addresses_are_refused(host: str) -> None:
    """Whoever reaches the proxy could use it, so it binds loopback addresses alone."""
    with pytest.raises(ValueError, match="expected one of this machine alone"):
        bind(host, 0)


def answer(sent: SentRequest) -> Reply:
    """Answer as the API does, with what came."""
    body = {"model": "mini", "results": [[{"label": sent.headers["authorization"].split()[0], "score": 1.0}]]}
    headers = {"content-type": "application/json", "x-request-id": "abc"}
    return Reply(200, headers, json.dumps(body).encode())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve a proxy in front of an API on this machine; yield its port."""
    with serving(answer) as (api, _), bind("127.0.0.1", 0) as bound:
        upstream = Upstream.at(f"{api}/live", "eu-central-1", lambda: Credentials("testing", "testing"))
        found: int = bound.getsockname()[1]
        server = server_of(Proxy(Guard(TOKEN, found), upstream, httpx2.AsyncClient(), lambda _: None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        yield found
        server.should_exit = True
        thread.join()


def test_the_python_client_works_through_it(port: int) -> None:
    """Address and token are all that a client needs. The API gets a signature in place of the token."""
    with Client(f"http://127.0.0.1:{port}", api_key=TOKEN) as client:
        result = client.text_classification("The team won.")
    assert result.only[0].label == "AWS4-HMAC-SHA256"
    assert result.request_id == "abc"


def raw(port: int, text: str) -> int:
    """Send bytes; return the status of the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(text.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        return response.status


def test_requests_that_two_servers_read_differently_are_refused(port: int) -> None:
    """A request with two lengths, with a length and chunks, or to another host, is not passed on."""
    head = f"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    assert raw(port, head + "Content-Length: 2\r\n\r\n{}") == 200
    assert raw(port, head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n") == 200
    assert raw(port, head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ") == 400
    assert raw(port, head + "Content-Length: 2\r\nHost: evil.example\r\n\r\n{}") == 400
    assert raw(port, head.replace("/v1/x", "http://evil.example/v1/x") + "Content-Length: 2\r\n\r\n{}") == 400
    assert raw(port, head.replace("/v1/x", "/v1/../../x") + "Content-Length: 2\r\n\r\n{}") == 400
    assert raw(port, head.replace(f"127.0.0.1:{port}", "evil.example") + "Content-Length: 2\r\n\r\n{}") == 421
    assert raw(port, head + f"X-Long: {'x' * 20_000}\r\n\r\n") == 431
