"""Requests carry a key or a signature: to the API alone, and never in the clear."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from glossa.client import Client, InvalidRequest
from glossa.client.address import encoded_query
from glossa.client.signing import aws_credentials, region_of, signature
from tests.unit.glossa.client.served import URL, client_of

KEY = "glossa_0123456789abcdef_" + "A" * 43
GATEWAY = "https://abc1.execute-api.eu-central-1.amazonaws.com/live"
LOCAL = "http://127.0.0.1:4566/live"
CREDENTIALS = Credentials("testing", "testing", "a-session-token")


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the process AWS credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    aws_credentials.cache_clear()
    yield
    aws_credentials.cache_clear()


def headers_sent(url: str, **settings: object) -> httpx2.Headers:
    """Return the headers of a call to an address."""
    seen: list[httpx2.Headers] = []

    def keep(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent.headers)
        return httpx2.Response(200, json={})

    client_of(keep, url=url, **settings).call("GET", "/v1/jobs", query={"cursor": "a=b c"})
    return seen[0]


@pytest.mark.parametrize("url", [GATEWAY, LOCAL])
def test_a_key_is_sent_as_a_bearer_token(url: str) -> None:
    """A request with a key carries it and no signature, and the key is not shown with the client."""
    headers = headers_sent(url, api_key=KEY)
    assert headers["authorization"] == f"Bearer {KEY}"
    assert not any(name.startswith("x-amz") for name in headers)
    assert KEY not in repr(Client(url, api_key=KEY).target)


@pytest.mark.parametrize(("url", "key"), [(URL, KEY), (LOCAL, KEY + " "), (GATEWAY, "a\r\nb: c")])
def test_a_key_does_not_travel_in_the_clear(url: str, key: str) -> None:
    """Over http to another machine, and with characters that no key has, nothing is sent."""
    with pytest.raises(InvalidRequest):
        headers_sent(url, api_key=key)


def test_only_the_gateway_gets_a_signature(credentials: None) -> None:
    """A request to API Gateway is signed for its region; other requests are not, unless the caller names a region."""
    assert "/eu-central-1/execute-api/aws4_request" in headers_sent(GATEWAY)["authorization"]
    assert "authorization" not in headers_sent(LOCAL)
    assert "/us-east-1/execute-api/" in headers_sent("https://api.example.org", region="us-east-1")["authorization"]
    assert region_of("https://abc1.execute-api.eu-central-1.amazonaws.com.evil.example/") is None


def test_a_signature_does_not_travel_in_the_clear(credentials: None) -> None:
    """Whoever reads a signed request can send it again, so it goes over https or stays on this machine."""
    for url, region in ((GATEWAY.replace("https", "http"), None), (URL, "us-east-1")):
        with pytest.raises(InvalidRequest, match="and AWS credentials, expected https"):
            headers_sent(url, region=region)
    assert "/us-east-1/execute-api/" in headers_sent(LOCAL, region="us-east-1")["authorization"]


def test_a_query_is_signed_as_aws_does() -> None:
    """The vector get-vanilla-utf8-query of AWS: its signature is the published one."""
    query = encoded_query("\u1234=bar".encode())
    asked = AWSRequest("GET", f"https://example.amazonaws.com/?{query}")
    asked.headers["Host"] = "example.amazonaws.com"
    asked.headers["X-Amz-Date"] = asked.context["timestamp"] = "20150830T123600Z"
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), "service", "us-east-1")
    text = signer.string_to_sign(asked, signer.canonical_request(asked))
    assert signer.signature(text, asked) == "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"


@pytest.mark.parametrize(
    "path", ["/v1/recipes/größe", "/v1/recipes/новости?a=é", "/v1/caf%C3%A9%20x", "/hf/mini:topic"]
)
def test_a_path_is_signed_as_it_is_sent(credentials: None, path: str) -> None:
    """A gateway that signs the path that arrived, as AWS does, comes to the same signature."""
    seen: list[httpx2.Request] = []

    def keep(sent: httpx2.Request) -> httpx2.Response:
        seen.append(sent)
        return httpx2.Response(200, json={})

    client_of(keep, url=GATEWAY).call("GET", path)
    [sent] = seen
    arrived = sent.url.raw_path.decode()
    assert arrived.isascii()
    again = AWSRequest("GET", f"https://{sent.url.host}{arrived}")
    again.context["timestamp"] = sent.headers["x-amz-date"]
    again.headers["X-Amz-Date"] = sent.headers["x-amz-date"]
    signer = SigV4Auth(Credentials("testing", "testing"), "execute-api", "eu-central-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    assert sent.headers["authorization"].endswith(f"Signature={signer.signature(text, again)}")


def test_a_signature_is_that_of_botocore() -> None:
    """Host, time, token and body are signed as botocore itself signs them."""
    made = signature("POST", f"{GATEWAY}/v1/fill-mask?a=b", b"{}", "eu-central-1", CREDENTIALS)
    again = AWSRequest("POST", f"{GATEWAY}/v1/fill-mask?a=b", data=b"{}")
    again.context["timestamp"] = made["X-Amz-Date"]
    again.headers["X-Amz-Date"], again.headers["X-Amz-Security-Token"] = made["X-Amz-Date"], "a-session-token"
    signer = SigV4Auth(CREDENTIALS, "execute-api", "eu-central-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    assert made["Authorization"].endswith(f"Signature={signer.signature(text, again)}")
