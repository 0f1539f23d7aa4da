"""The page of the whole API: committed, served, complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from functions.http.jobs_routes import make_api as make_jobs
from functions.http.openapi_document import document
from functions.http.resolver import Resolver
from functions.tasks.registry import TASK_NAMES
from tests.events import request
from tests.unit.functions.http.world import ask, catalog, make

COMMITTED = Path(__file__).parents[4] / "docs" / "openapi.json"


def test_the_committed_page_is_current() -> None:
    """docs/openapi.json is what the code says; `python -m functions.http.openapi_document` writes it."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == document()


def test_the_page_is_served() -> None:
    """The infer function hands out the page of the whole API."""
    status, body, _ = ask(make(), request("GET", "/v1/openapi.json"))
    assert (status, body) == (200, document())


@pytest.mark.parametrize("path", ["/v1/health", "/v1/openapi.json"])
def test_what_monitors_and_browsers_fetch_is_answered_whatever_the_query(path: str) -> None:
    """What makes an address new to a cache asks for nothing."""
    assert ask(make(), request("GET", path, queryStringParameters={"_": "1732"}))[0] == 200


def test_every_route_is_on_the_page_and_every_entry_is_a_route() -> None:
    """Nothing is served unsaid, nothing said unserved."""
    unused = cast("Any", None)  # only requests call these
    jobs = make_jobs(unused, unused, unused, unused, catalog=catalog(), auth="none")
    served = _routes(make()) | _routes(jobs)
    tasks = {("POST", f"/v1/{task}") for task in TASK_NAMES}
    said = {
        (method.upper(), re.sub(r"{(\w+)}", r"<\1>", path))
        for path, operations in document()["paths"].items()
        for method in operations
    }
    assert said == (served - {("POST", "/v1/<task>")}) | tasks


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
    """The function that gets what no other takes knows the routes of the whole API, and that no path is each task's."""
    status, problem, headers = ask(make(), request(method, path))
    assert (status, headers["allow"]) == (405, allow)
    assert problem["detail"] == f"got {method} on {path}, expected {allow.replace(', ', ' or ')}"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_path_that_nobody_serves_is_a_404_by_every_method(method: str) -> None:
    """A name that is no task's is not answered as if another method would find it."""
    assert ask(make(), request(method, "/v1/nope", "{}"))[0] == 404


def test_a_path_that_is_no_tasks_is_a_404_whatever_its_body_is_called() -> None:
    """The route that every task shares says what there is before it reads what it could not answer."""
    status, problem, _ = ask(make(), request("POST", "/v1/nope", "<a/>", headers={"Content-Type": "text/xml"}))
    assert (status, "tasks: feature-extraction, " in problem["detail"]) == (404, True)


def _routes(api: Resolver) -> set[tuple[str, str]]:
    return {(route.method, route.path) for route in [*api._static_routes, *api._dynamic_routes]}
