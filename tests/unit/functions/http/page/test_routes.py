"""The routes of the pages: there only when they are asked for, confined by headers, and cheap to ask again."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import urljoin

import pytest

from functions.http.authentication import Auth
from functions.http.page.files import digest, files
from functions.http.page.routes import policy
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.lambdas.settings import InferSettings
from functions.replica.fake import FakeReplica
from shared.settings import read_settings
from tests.events import FakeContext, request
from tests.unit.functions.http.world import count_ids, make, pipeline

PAGES = ("/", "/docs")
STORE = "https://bucket.example"


def shown(*stores: str, auth: str = "none") -> Resolver:
    """Make the API with its pages."""
    return make_api(pipeline(), FakeReplica(count_ids), Auth(auth), page_stores=stores)  # type: ignore[arg-type] # a kind by its name


def ask(api: Resolver, path: str, **headers: str) -> dict[str, Any]:
    """Get a path. Header names of the answer are in lower case."""
    raw = request("GET", path, headers=headers, multiValueHeaders={name: [value] for name, value in headers.items()})
    answer = api.resolve(raw, FakeContext())
    named = {name.lower(): values[0] for name, values in answer["multiValueHeaders"].items()}
    return {**answer, "headers": named}


@pytest.mark.parametrize("path", [*PAGES, f"/page/{digest()}/page.js"])
def test_without_pages_their_paths_are_unknown(path: str) -> None:
    """By default a stack has no page, and says 404 as for any other path."""
    answer = ask(make(), path)
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_confined(path: str) -> None:
    """It may load and call its own host alone, stand in no frame, and make no markup of a text."""
    headers = ask(shown(), path)["headers"]
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert rules == {
        "default-src": "'self'", "connect-src": "'self'", "object-src": "'none'", "base-uri": "'none'",
        "form-action": "'self'", "frame-ancestors": "'none'", "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }  # fmt: skip
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_a_page_may_upload_to_the_buckets_that_it_is_told() -> None:
    """And to no other host."""
    assert f"connect-src 'self' {STORE};" in ask(shown(STORE), "/")["headers"]["content-security-policy"]
    assert "http" not in policy()


@pytest.mark.parametrize("auth", ["iam", "bearer"])
def test_a_page_is_open_where_the_api_is_not(auth: str) -> None:
    """A browser sends no key with an address. Everything else asks for a verified caller as ever."""
    api = shown(auth=auth)
    assert [api.resolve(request("GET", p, requestContext={}), FakeContext())["statusCode"] for p in PAGES] == [200, 200]
    described = api.resolve(request("GET", "/openapi.json", requestContext={}), FakeContext())
    assert (described["statusCode"], json.loads(described["body"])["info"]["title"]) == (200, "Glossa")
    anybody = request("GET", "/v1/models", requestContext={})
    assert api.resolve(anybody, FakeContext())["statusCode"] == 403


@pytest.mark.parametrize("name", sorted(files()))
def test_what_has_not_changed_is_not_sent_again(name: str) -> None:
    """Each file has a tag. A browser that has it gets 304 without a body."""
    path = {"index.html": "/", "docs.html": "/docs"}.get(name, f"/page/{digest()}/{name}")
    first = ask(shown(), path)
    assert (first["statusCode"], first["body"]) == (200, files()[name].text)
    for known in (first["headers"]["etag"], f'"other", {first["headers"]["etag"]}', "*"):
        again = ask(shown(), path, **{"If-None-Match": known})
        assert (again["statusCode"], again["body"] or "") == (304, "")
        assert again["headers"]["content-security-policy"]
    assert ask(shown(), path, **{"If-None-Match": 'W/"other"'})["statusCode"] == 200


def test_files_are_kept_for_a_year_and_pages_are_asked_for_each_time() -> None:
    """The address of a file changes with it. A file at the address of another version may be kept, but is asked for."""
    kept = {path: ask(shown(), path)["headers"]["cache-control"] for path in (*PAGES, "/page/0/page.css")}
    assert set(kept.values()) == {"no-cache"}
    named = ask(shown(), f"/page/{digest()}/page.css")["headers"]["cache-control"]
    assert named == "public, max-age=31536000, immutable"


def test_files_travel_compressed() -> None:
    """To who says that it reads gzip, and which types it takes: API Gateway sends others the base64 of bytes."""
    path, both = f"/page/{digest()}/page.js", {"Accept-Encoding": "gzip, br", "Accept": "*/*"}
    for name in both:
        assert ask(shown(), path, **{name: both[name]})["body"] == files()["page.js"].text
    answer = ask(shown(), path, **both)
    assert (answer["headers"]["content-encoding"], answer["headers"]["vary"]) == ("gzip", "Accept-Encoding")
    assert answer["isBase64Encoded"] is True
    assert gzip.decompress(base64.b64decode(answer["body"])).decode() == files()["page.js"].text


@pytest.mark.parametrize("name", ["index.html", "tasks.js", "nothing.js", "..", "%2e%2e%2fsettings.py"])
def test_only_files_of_a_page_are_sent(name: str) -> None:
    """A page itself, a module that is part of a script, and everything else are unknown files."""
    assert ask(shown(), f"/page/{digest()}/{name}")["statusCode"] == 404


def test_one_slash_too_many_leads_back() -> None:
    """A page names its files relative to its address, and a browser goes from `/live/docs/` to `/live/docs`."""
    answer = ask(shown(), "/docs/")
    assert (answer["statusCode"], answer["headers"]["location"]) == (308, "../docs")
    assert urljoin("https://api.example/live/docs/", answer["headers"]["location"]) == "https://api.example/live/docs"


@pytest.mark.parametrize(
    "path", ["//", "///", "/docs//", "//docs", "//docs/", "//evil.example", "//evil.example/", "/docs/%2f", "/docs/\\"]
)
def test_more_slashes_lead_nowhere(path: str) -> None:
    """They are no page, and nothing sends a browser to another host or to a place that is not there."""
    answer = ask(shown(), path)
    assert (answer["statusCode"], "location" in answer["headers"]) == (404, False)
    assert answer["headers"]["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_read_and_nothing_else(path: str) -> None:
    """HEAD has its headers alone. Any other method is a 405."""
    head = shown().resolve(request("HEAD", path), FakeContext())
    assert (head["statusCode"], head["body"], "ETag" in head["multiValueHeaders"]) == (200, "", True)
    assert shown().resolve(request("POST", path, "{}"), FakeContext())["statusCode"] == 405


def test_a_query_is_ignored() -> None:
    """Browsers and monitors use it to get around caches."""
    raw = request("GET", "/", queryStringParameters={"_": "1"})
    assert shown().resolve(raw, FakeContext())["statusCode"] == 200


@pytest.mark.parametrize(
    ("given", "stores"),
    [
        ({}, None),
        ({"GLOSSA_PAGE": "off", "GLOSSA_PAGE_STORES": STORE}, None),
        ({"GLOSSA_PAGE": "on"}, ()),
        ({"GLOSSA_PAGE": "on", "GLOSSA_PAGE_STORES": f"{STORE},https://a.example"}, ("https://a.example", STORE)),
    ],
)
def test_a_stack_says_whether_it_has_pages(given: dict[str, str], stores: tuple[str, ...] | None) -> None:
    """Only `on` shows them, and names the origins of the buckets."""
    settings = read_settings(InferSettings, {"GLOSSA_REPLICA_URL": "https://replica.example", **given})
    assert settings.shown_stores == stores
