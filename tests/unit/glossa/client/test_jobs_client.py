"""The client calls the jobs API, uploads files and signs requests. Its constants are compared with the service's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.state.state_machine import ENDED
from glossa.client.errors import ApiError, BadAnswer, InvalidRequest, NotFound, Unavailable
from glossa.client.jobs_client import END_STATES, JobsClient, MultipartBody, Response, _no_answer, _signed

URL = "http://api.example/live"


def test_end_states_are_those_of_the_state_machine() -> None:
    """The client watches a job until the same states that end it in the service."""
    assert END_STATES == ENDED


@dataclass
class FixedTransport:
    """Gives the same response to every request."""

    reply: Response

    def send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Response:
        """Answer."""
        return self.reply


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(200, b"<html>", BadAnswer), (403, b'{"message": "Forbidden"}', ApiError), (404, b"{}", NotFound),
     (503, b'{"code": "unavailable", "detail": "down"}', Unavailable)],
)  # fmt: skip
def test_answers_of_other_servers_are_told_apart(status: int, body: bytes, error: type[ApiError]) -> None:
    """A page of another server, a refusal of the gateway and a problem of the API each raise their own error."""
    with pytest.raises(error):
        JobsClient(URL, FixedTransport(Response(status, [body]))).status("x")


def test_a_service_that_is_down_has_a_way_forward() -> None:
    """On this machine the hint is to start it; elsewhere it names the host."""
    with pytest.raises(Unavailable, match=r"no answer from 127\.0\.0\.1:1: ") as caught:
        JobsClient("http://127.0.0.1:1/live").status("x")
    assert "`make run`" in (caught.value.hint or "")
    assert "can reach api.example" in (_no_answer(URL, OSError()).hint or "")


@given(
    st.dictionaries(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), st.from_regex(r"[ -~]{0,20}", fullmatch=True)),
    st.binary(max_size=60),
    st.integers(1, 50),
)
def test_a_form_is_read_back_whatever_the_reads(fields: dict[str, str], data: bytes, size: int) -> None:
    """Reads of any size give as many bytes as announced, and a server finds the fields and the file in them."""
    fields.pop("file", None)
    body = MultipartBody(fields, "a.bin", io.BytesIO(data), len(data))
    raw = b"".join(iter(lambda: body.read(size), b""))
    assert len(raw) == body.n_bytes
    assert b'name="file"; filename="a.bin"\r\n\r\n' + data + b"\r\n--" in raw
    for name, value in fields.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in raw


def test_only_the_gateway_gets_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to API Gateway is signed for its region and holds no secret; other requests stay as they are."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    signed = _signed("GET", "https://abc1.execute-api.eu-central-1.amazonaws.com/live/v1/jobs?a=b", {"x": "y"}, b"")
    assert "/eu-central-1/execute-api/aws4_request" in signed["Authorization"]
    assert _signed("GET", "http://127.0.0.1:4566/live", {"x": "y"}, b"") == {"x": "y"}
    assert _signed("GET", "https://abc1.execute-api.eu-central-1.amazonaws.com.evil.example/", {}, b"") == {}


@dataclass
class KeepingTransport:
    """Keeps the headers of each request by its address."""

    seen: dict[str, Mapping[str, str]]

    def send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Response:
        """Answer with an empty object."""
        del method, body
        self.seen[url] = headers
        return Response(200, [b"{}"])


KEY = "glossa_0123456789abcdef_" + "A" * 43
GATEWAY = "https://abc1.execute-api.eu-central-1.amazonaws.com/live"


@pytest.mark.parametrize("url", [GATEWAY, "http://127.0.0.1:4566/live"])
def test_a_key_is_sent_as_a_bearer_token_to_the_api_alone(url: str) -> None:
    """A request to the API carries the key and no signature. A link to storage does not get it."""
    kept = KeepingTransport({})
    client = JobsClient(url, kept, KEY)
    client.status("x")
    assert kept.seen[f"{url}/v1/jobs/x"]["authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in kept.seen[f"{url}/v1/jobs/x"]
    with pytest.raises(BadAnswer):
        list(client.download({"url": "https://bucket.example/part", "key": "part", "sha256": "0"}))
    assert kept.seen["https://bucket.example/part"] == {}
    assert KEY not in repr(JobsClient(url, api_key=KEY))


@pytest.mark.parametrize(("url", "key"), [(URL, KEY), ("ftp://127.0.0.1", KEY + " "), (GATEWAY, "a\r\nb: c")])
def test_a_key_does_not_travel_in_the_clear(url: str, key: str) -> None:
    """Over http to another machine, and with characters that no key has, nothing is sent."""
    kept = KeepingTransport({})
    with pytest.raises(InvalidRequest):
        JobsClient(url, kept, key).status("x")
    assert kept.seen == {}
