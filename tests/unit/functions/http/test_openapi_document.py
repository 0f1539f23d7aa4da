"""The OpenAPI document covers the whole API. It is committed, current and served."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from functions.http.authentication import OPEN
from functions.http.jobs_routes import make_api as make_jobs
from functions.http.openapi_document import document
from functions.http.resolver import Resolver
from functions.tasks.registry import TASK_NAMES
from tests.events import FakeContext, request
from tests.unit.functions.http.world import catalog, make, send

COMMITTED = Path(__file__).parents[4] / "docs" / "openapi.json"


def test_the_committed_document_is_current() -> None:
    """docs/openapi.json equals the document of the code. `python -m functions.http.openapi_document` writes it."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == document()


def test_the_document_says_how_callers_are_verified() -> None:
    """Every route takes a Bearer token or a signature, so that generated clients send one."""
    schemes = document()["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["sigv4"]["x-amazon-apigateway-authtype"]) == ("bearer", "awsSigv4")
    assert document()["security"] == [{"bearer": []}, {"sigv4": []}]
    operations = [operation for path in document()["paths"].values() for operation in path.values()]
    assert not [operation for operation in operations if "security" in operation]


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/openapi.json"])
def test_the_document_is_served(path: str) -> None:
    """The infer function serves the document, with the address where it lies first: a stage, or a name of one's own."""
    status, body, _ = send(make(), request("GET", path))
    assert (status, body | {"servers": document()["servers"]}) == (200, document())
    assert [each["url"] for each in body["servers"]] == ["/live", *(each["url"] for each in document()["servers"])]
    named = request("GET", path)
    named["requestContext"] |= {"path": path}
    assert send(make(), named)[1]["servers"][0]["url"] == "/"


@pytest.mark.parametrize("path", ["/v1/health", "/v1/openapi.json", "/openapi.json", "/health", "/metrics"])
def test_what_monitors_and_browsers_fetch_is_answered_whatever_the_query(path: str) -> None:
    """A query parameter that only avoids a cache is ignored."""
    raw = request("GET", path, queryStringParameters={"_": "1732"})
    assert make().resolve(raw, FakeContext())["statusCode"] == 200


def test_the_document_lists_exactly_the_routes() -> None:
    """The document lists exactly the routes that are served."""
    unused = cast("Any", None)  # only requests call these
    jobs = make_jobs(unused, unused, unused, unused, catalog=catalog(), auth=OPEN)
    served = _routes(make()) | _routes(jobs)
    tasks = {("POST", f"/v1/{task}") for task in TASK_NAMES}
    documented = {
        (method.upper(), re.sub(r"{(\w+)}", r"<\1>", path))
        for path, operations in document()["paths"].items()
        for method in operations
    }
    assert documented == (served - {("POST", "/v1/<task>")}) | tasks


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/jobs", "GET, POST"),
        ("PUT", "/v1/recipes", "GET, POST"),
        ("PATCH", f"/v1/jobs/{'0' * 32}", "DELETE, GET"),
        ("PUT", "/v1/recipes/mine", "DELETE"),
        ("PUT", "/v1/models", "GET"),
        ("POST", "/v1/models", "GET"),
        ("POST", "/v1/health", "GET"),
        ("DELETE", "/v1/openapi.json", "GET"),
        ("GET", "/v1/text-classification", "POST"),
    ],
)
def test_a_method_that_a_path_lacks_is_a_405_that_names_those_it_has(method: str, path: str, allow: str) -> None:
    """The function that gets all other requests knows the routes of the whole API, also those of each task."""
    status, problem, headers = send(make(), request(method, path))
    head = ["HEAD"] if "GET" in allow else []
    assert (status, headers["allow"]) == (405, ", ".join(sorted([*allow.split(", "), *head, "OPTIONS"])))
    assert problem["detail"] == f"got {method} on {path}, expected {allow.replace(', ', ' or ')}"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_an_unknown_path_is_a_404_by_every_method(method: str) -> None:
    """A name that is not a task is a 404, not a 405."""
    assert send(make(), request(method, "/v1/nope", "{}"))[0] == 404


def test_an_unknown_task_is_a_404_whatever_its_content_type() -> None:
    """An unknown task is reported before the body or its content type is checked."""
    status, problem, _ = send(make(), request("POST", "/v1/nope", "<a/>", headers={"Content-Type": "text/xml"}))
    assert (status, "tasks: feature-extraction, " in problem["detail"]) == (404, True)


def _routes(api: Resolver) -> set[tuple[str, str]]:
    return {(route.method, route.path) for route in [*api._static_routes, *api._dynamic_routes]}
