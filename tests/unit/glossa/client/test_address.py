"""Secrets go to the API that was named and nowhere else, whatever path or id a caller gives."""

from __future__ import annotations

import httpx2
import pytest

from glossa.client import Client, InvalidRequest
from glossa.client.address import encoded_path, encoded_query, is_address, joined
from glossa.commands.remote.settings import api_address
from glossa.proxy.upstream import Upstream
from tests.unit.glossa.client.served import client_of

API = "https://api.example/live"
NO_ADDRESSES = [
    "https://user@api.example/live", "https://api.example/live?a=b", "https://api.example/live?",
    "https://api.example/live#x", "https://api.example#@evil.example", "ftp://api.example", "https://", "api.example",
    "https://[::1", "https://api.example/a b", "https://api.example/\n", "https://bücher.example/live",
    "https://api.example/größe", "", "https://a..b/live", "https://.", "https://" + "a" * 64, "https://a:99999", "https://a:x",
]  # fmt: skip


def sent_urls(path: str) -> list[str]:
    """Return where a call of a path goes."""
    seen: list[str] = []

    def keep(sent: httpx2.Request) -> httpx2.Response:
        seen.append(str(sent.url))
        return httpx2.Response(200, json={})

    with client_of(keep, url="https://api.example", api_key="glossa_0") as client:
        client.call("GET", path)
    return seen


@pytest.mark.parametrize(
    "path", ["", ".evil.example/x", "@evil.example/x", ":8080/x", "v1/models", "/v1/x#y", "/v1/ x"]
)
def test_a_path_cannot_change_the_host(path: str) -> None:
    """A path that does not begin with a slash is refused, and nothing is sent."""
    with pytest.raises(InvalidRequest, match="expected a slash"):
        sent_urls(path)


@pytest.mark.parametrize("path", ["/v1/models", "//evil.example/x", "/@evil.example", "/v1/jobs?cursor=a%2Fb"])
def test_any_other_path_stays_at_the_host(path: str) -> None:
    """The host is the one of the address."""
    assert sent_urls(path) == [f"https://api.example{path}"]


@pytest.mark.parametrize("job_id", ["", "../recipes/x", "0" * 31, "0" * 32 + "/cancel", "0" * 32 + "\n", "A" * 32])
def test_an_id_of_a_job_leads_to_no_other_route(job_id: str) -> None:
    """What is no id is refused before anything is sent."""
    with Client(API) as client, pytest.raises(InvalidRequest, match="expected the id of a job"):
        client.jobs.get(job_id)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_client_commands_and_proxy_refuse_the_same_addresses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule says what the address of an API is."""
    monkeypatch.delenv("GLOSSA_API_URL", raising=False)
    assert not is_address(address)
    with pytest.raises(InvalidRequest, match="got the address"):
        Client(address)
    with pytest.raises(ValueError, match="got --url"):
        api_address(address)
    with pytest.raises(ValueError, match="got the address"):
        Upstream.at(address, "eu-central-1", object)


@pytest.mark.parametrize(
    "address", [API, API + "/", "http://127.0.0.1:4566/live", "http://[::1]:8788", "https://a.example"]
)
def test_and_take_the_same(address: str) -> None:
    """It may be https or http, with a stage or without one."""
    assert is_address(address)
    assert api_address(address) == address
    assert joined(address, "/v1/models") == address.rstrip("/") + "/v1/models"
    assert Upstream.at(address, "eu-central-1", object).url == address.rstrip("/")


@pytest.mark.parametrize(
    ("given", "written"),
    [(b"cursor=a/b:c", "cursor=a%2Fb%3Ac"), (b"cursor=a%2Fb%3ac", "cursor=a%2Fb%3Ac"), (b"a=b=c&a", "a=b%3Dc&a="),
     (b"a=x+y%20z", "a=x%20y%20z"), (b"a=-._~Az09", "a=-._~Az09"), (b"a=%ff&&", "a=%FF"), (b"", "")],
)  # fmt: skip
def test_a_query_is_written_as_it_is_signed(given: bytes, written: str) -> None:
    """All but the unreserved characters is %XX in capitals, in the order that was given."""
    assert encoded_query(given) == written
    assert encoded_query(written.encode()) == written


@pytest.mark.parametrize(
    ("given", "written"),
    [("/v1/größe", "/v1/gr%C3%B6%C3%9Fe"), ("/v1/日本", "/v1/%E6%97%A5%E6%9C%AC"),
     ("/v1/caf%C3%A9%20x", "/v1/caf%C3%A9%20x"), ("/a%2fb%zz", "/a%2fb%25zz"),
     ('/a[b]{c}|"^`\\', "/a%5Bb%5D%7Bc%7D%7C%22%5E%60%5C"),
     ("/hf/mini:topic/@x,y;z=1", "/hf/mini:topic/@x,y;z=1"), ("/", "/")],
)  # fmt: skip
def test_a_path_is_written_as_it_is_sent(given: str, written: str) -> None:
    """Letters beyond ASCII are %XX of UTF-8. What is written so already stays, and the HTTP library changes nothing."""
    assert encoded_path(given) == written
    assert encoded_path(written) == written
    assert sent_urls(given) == [f"https://api.example{written}"]


def test_a_refused_address_keeps_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message goes to logs and terminals. It shows the address without who signs in and how."""
    monkeypatch.delenv("GLOSSA_API_URL", raising=False)
    user, word = "ada", "x@y:z"
    address = f"https://{user}:{word}@api.example/live"
    said = []
    for refusing in (Client, api_address, lambda url: Upstream.at(url, "eu-central-1", object)):
        with pytest.raises((InvalidRequest, ValueError), match=r"//…@api\.example/live") as caught:
            refusing(address)
        said.append(str(caught.value))
    assert not any(part in text for text in said for part in (user, word))
