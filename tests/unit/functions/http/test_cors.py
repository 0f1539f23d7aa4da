"""Pages of listed origins may call from a browser, pages of others may not, and HEAD and OPTIONS are answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.http.authentication import Auth
from functions.http.cors import Cors
from functions.http.text_routes import make_api
from functions.lambdas.settings import CallerSettings
from functions.replica.fake import FakeReplica
from shared.settings import read_settings
from tests.events import FakeContext, request
from tests.unit.functions.http.world import count_ids, make, pipeline

APP, OTHER = "https://app.example.com", "https://other.example.com"
LISTED = make_api(
    pipeline(), FakeReplica(count_ids), Auth("bearer"), origins=Cors(frozenset({APP, "https://b.example"}))
)


def ask(method: str, path: str, api: Any = LISTED, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Send a request with these headers; return status, body, and headers by lower-case name."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = api.resolve(request(method, path, headers=named), FakeContext())
    found = {name.lower(): ", ".join(values) for name, values in made["multiValueHeaders"].items()}
    return made["statusCode"], made["body"], found


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("GET", "/nowhere"), ("POST", "/v1/fill-mask")])
@pytest.mark.parametrize("origin", [APP, OTHER, ""])
def test_every_answer_names_a_listed_origin_and_no_other(method: str, path: str, origin: str) -> None:
    """Errors too, so that a page can read why it was refused. Caches keep the answers of origins apart."""
    _, _, headers = ask(method, path, origin=origin)
    assert headers.get("access-control-allow-origin") == (origin if origin == APP else None)
    assert headers["vary"] == "Origin"
    assert ("Retry-After, Server-Timing, X-Request-Id" in headers.get("access-control-expose-headers", "")) is (
        origin == APP
    )
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("path", ["/v1/fill-mask", "/v1/models", "/hf/mini:topic", "/nowhere"])
def test_a_preflight_is_answered_without_authentication(path: str) -> None:
    """A browser sends it without a key. The page may send what it asked for; an unknown path is told by the request."""
    asked = {"origin": APP, "access-control-request-method": "POST"}
    status, body, headers = ask("OPTIONS", path, **asked, access_control_request_headers="authorization,x-stainless-os")
    assert (status, body) == (204, "")
    assert headers["access-control-allow-origin"] == APP
    assert headers["access-control-allow-methods"] == "GET, HEAD, POST, DELETE"
    assert headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert int(headers["access-control-max-age"]) > 0


def test_a_preflight_of_another_origin_allows_nothing() -> None:
    """The browser then sends no request."""
    status, _, headers = ask("OPTIONS", "/v1/models", origin=OTHER, access_control_request_method="GET")
    assert (status, headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("names", ["x\r\ny: z", "ü", "x" * 2001])
def test_names_that_no_header_has_are_not_sent_back(names: str) -> None:
    """What a page asks for stands in a header of the answer."""
    asked = {"access-control-request-method": "GET", "access-control-request-headers": names}
    assert "access-control-allow-headers" not in ask("OPTIONS", "/v1/models", origin=APP, **asked)[2]


def test_without_origins_there_are_no_headers() -> None:
    """It is so by default, and on the local stack, whose page has the same origin."""
    _, _, headers = ask("GET", "/v1/models", make(), origin=APP)
    assert not [name for name in headers if name.startswith("access-control") or name == "vary"]


@pytest.mark.parametrize(
    ("path", "allow"), [("/v1/fill-mask", "OPTIONS, POST"), ("/v1/jobs", "GET, HEAD, OPTIONS, POST")]
)
def test_options_names_the_methods_of_a_path(path: str, allow: str) -> None:
    """Also of the paths of other functions."""
    status, body, headers = ask("OPTIONS", path, make())
    assert (status, body, headers["allow"]) == (204, "", allow)
    assert ask("OPTIONS", "/nowhere", make())[0] == 404


@pytest.mark.parametrize("path", ["/v1/models", "/v1/health", "/v1/openapi.json", "/metrics", "/v1/models/nope", "/v2"])
def test_head_is_get_without_a_body(path: str) -> None:
    """It has the same status and headers, but for the times."""
    wanted, body, headers = ask("GET", path, make())
    status, nothing, found = ask("HEAD", path, make())
    assert (status, nothing) == (wanted, "")
    assert found.keys() == headers.keys()
    assert found["content-type"] == headers["content-type"] if body else True


def test_head_where_there_is_no_get_is_refused() -> None:
    """As every other method that a path lacks."""
    status, body, headers = ask("HEAD", "/v1/fill-mask", make())
    assert (status, body, headers["allow"]) == (405, "", "OPTIONS, POST")


def test_head_is_refused_without_a_caller() -> None:
    """It is no way around authentication."""
    assert ask("HEAD", "/v1/models")[0] == 403


@pytest.mark.parametrize("wrong", ["*", "https://a.example,null", "http://a.example", "https://a.example/x"])
def test_a_function_does_not_start_with_an_inexact_origin(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template refuses it as well."""
    monkeypatch.setenv("GLOSSA_CORS_ORIGINS", wrong)
    with pytest.raises(ValueError, match="GLOSSA_CORS_ORIGINS"):
        read_settings(CallerSettings)
    monkeypatch.setenv("GLOSSA_CORS_ORIGINS", f"{APP}, {OTHER}")
    assert read_settings(CallerSettings).origins == Cors(frozenset({APP, OTHER}))


def test_a_preflight_is_logged_without_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    """The log line names no path: it may hold words of a caller."""
    ask("OPTIONS", "/v1/secret-words", origin=APP, access_control_request_method="GET")
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["route"], line["status"]) == ("OPTIONS", 204)
    assert "secret" not in str(line)
