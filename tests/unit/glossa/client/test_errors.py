"""Each answer that is an error becomes one of ours, with what the API said."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx2
import pytest

from glossa.client import ApiError, BadAnswer, Client, Forbidden, InvalidRequest, NotFound, Overloaded, Unavailable
from glossa.client.errors import BY_STATUS
from glossa.client.flows import Response, error_of, retry_after_s
from glossa.client.runners import no_answer
from shared.errors import BY_CODE, GlossaError
from tests.unit.functions.http.world import make
from tests.unit.glossa.client.http_server import serving_api
from tests.unit.glossa.client.served import answer_of, client_of


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(200, b"<html>", BadAnswer), (200, b"[]", BadAnswer), (403, b'{"message": "Forbidden"}', Forbidden),
     (302, b"", BadAnswer), (308, b'{"models": []}', BadAnswer), (304, b"", BadAnswer), (404, b"{}", NotFound),
     (418, b"tea", ApiError), (503, b'{"code": "unavailable", "detail": "down"}', Unavailable)],
)  # fmt: skip
def test_answers_of_other_servers_are_told_apart(status: int, body: bytes, error: type[ApiError]) -> None:
    """A page of another server, a refusal of the gateway and a problem of the API each raise their own error."""
    with pytest.raises(error) as caught:
        client_of(lambda _: httpx2.Response(status, content=body)).models()
    assert type(caught.value) is error
    assert caught.value.status == status


def test_an_error_says_what_the_api_said() -> None:
    """Status, code, type, message and the id of the request are those of the answer."""
    with pytest.raises(NotFound) as caught:
        client_of(lambda sent: answer_of(make(), sent)).text_classification("The team won.", model="nope")
    error = caught.value
    assert (error.status, error.code, error.type) == (404, "not-found", "urn:glossa:error:not-found")
    assert "no model 'nope'" in error.message
    assert error.request_id
    assert str(error).endswith(f"; request {error.request_id}")


KINDS = [kind for kind in BY_CODE.values() if kind is not GlossaError and kind.__module__ == "shared.errors"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_of_the_service_is_read(kind: type[GlossaError]) -> None:
    """Every error of the service has its code, its text, its hint, and whether a retry may help."""
    problem = kind("too much", hint="send less", retry_after_s=3.2).to_problem()
    headers = {"retry-after": "4", "x-request-id": "abc"}
    read = error_of(Response(kind.status, headers, json.dumps(problem).encode()))
    assert (read.status, read.code, read.message, read.hint) == (kind.status, kind.code, "too much", "send less")
    assert (read.retryable, read.retry_after_s, read.request_id) == (kind.retryable, 4.0, "abc")
    assert type(read) is BY_STATUS.get(kind.status, ApiError)


NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("Mon, 30 Nov 2026 12:00:30 GMT", 30.0), ("Mon, 30 Nov 2026 11:00:00 GMT", 0.0), ("", None),
     ("Mon, 30 Nov 99999999999 12:00:00 GMT", None), ("soon", None),
     ("-1", None), ("1.5", None), ("²", None), ("Mon, 30 Nov 2026 12:00:30 -0000", 30.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms are read, a date in the past means now, and anything else is as if it were not there."""
    assert retry_after_s(value, lambda: NOW) == seconds


def test_a_service_that_is_down_has_a_way_forward() -> None:
    """On this machine the hint is to start it; elsewhere it names the host."""
    client = Client("http://127.0.0.1:1/live", pause=lambda _: None)
    with client, pytest.raises(Unavailable, match=r"no answer from 127\.0\.0\.1:1: ") as caught:
        client.ready()
    assert "`make run`" in (caught.value.hint or "")
    assert "can reach api.example" in (no_answer("http://api.example/live", OSError()).hint or "")


@pytest.mark.parametrize("url", ["", "api.example/live", "ftp://api.example", "http://[::1", "http://a b/"])
def test_an_address_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent, the address is named with what was expected."""
    monkeypatch.delenv("GLOSSA_API_URL", raising=False)
    with pytest.raises(InvalidRequest, match="expected"):
        Client(url).ready()


def test_a_busy_service_says_when_to_come_back() -> None:
    """A wait that is longer than the client waits is raised with its seconds."""
    busy = httpx2.Response(429, headers={"retry-after": "120"}, json={"message": "Too Many Requests"})
    with pytest.raises(Overloaded, match="the API answered 429: Too Many Requests") as caught:
        client_of(lambda _: busy).models()
    assert caught.value.retry_after_s == 120


def test_a_redirect_is_told_and_never_followed() -> None:
    """The key is for the address that was named. The error says where the answer leads to."""
    seen: list[str] = []

    def lead(sent: httpx2.Request) -> httpx2.Response:
        seen.append(str(sent.url))
        return httpx2.Response(307, headers={"location": "https://elsewhere.example/"})

    with pytest.raises(BadAnswer, match=r"got 307 .* leads to 'https://elsewhere.example/'") as caught:
        client_of(lead).ready()
    assert "name it in place of this one" in (caught.value.hint or "")
    assert len(seen) == 1


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"status": "ok"}'])
def test_another_service_is_not_ready(answer: bytes) -> None:
    """A server that answers every path with 200 is not taken for ours."""
    with pytest.raises(BadAnswer, match="no status `ready`"):
        client_of(lambda _: httpx2.Response(200, content=answer)).ready()


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"jobs": 5, "next": null}', b'{"jobs": [{}], "next": null}'])
def test_a_list_of_jobs_that_is_none(answer: bytes) -> None:
    """What cannot be read is an error of the client, and no KeyError."""
    with pytest.raises(BadAnswer, match="expected that of Glossa"):
        list(client_of(lambda _: httpx2.Response(200, content=answer)).jobs.list())
    job = client_of(lambda _: httpx2.Response(200, content=answer)).jobs.get("0" * 32)
    for call in (job.cancel, job.redrive, lambda: list(job.errors()), lambda: next(job.pages("results"))):
        with pytest.raises(BadAnswer, match="expected that of Glossa"):
            call()


@pytest.mark.parametrize("inputs", [float("nan"), float("inf"), {"a", "b"}, b"bytes", object(), {(1, 2): "a"}])
def test_inputs_that_json_cannot_hold(inputs: object) -> None:
    """They are refused before anything is sent."""
    with pytest.raises(InvalidRequest, match="got a body that JSON cannot hold"):
        client_of(lambda _: httpx2.Response(200, json={})).run_task("fill-mask", inputs)


def test_what_http_cannot_carry_is_not_the_fault_of_the_service() -> None:
    """A header of two lines, or one of other letters, is refused and not tried again."""
    with serving_api() as url, Client(url, pause=lambda _: pytest.fail("it was tried again")) as client:
        for value in ("a\r\nb: c", "größe 😀"):
            with pytest.raises(InvalidRequest, match="that HTTP cannot carry"):
                client.call("GET", "/v1/models", headers={"x-note": value})


def test_bytes_that_cannot_be_unpacked() -> None:
    """The address answers, but not as Glossa does."""
    packed = {"content-encoding": "gzip"}
    with pytest.raises(BadAnswer, match="cannot be unpacked"):
        client_of(lambda _: httpx2.Response(200, headers=packed, stream=httpx2.ByteStream(b"no gzip"))).models()
