"""The page of the whole API: committed, served, complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from functions.edge import Resolver
from functions.jobs.api import make_api as make_jobs
from functions.pipeline.schemas import TASKS
from functions.whole_api import document
from tests.events import request
from tests.unit.functions.infer.world import ask, catalog, make

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_committed_page_is_current() -> None:
    """docs/openapi.json is what the code says; `python -m functions.whole_api` writes it."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == document()


def test_the_page_is_served() -> None:
    """The infer function hands out the page of the whole API."""
    status, body, _ = ask(make(), request("GET", "/v1/openapi.json"))
    assert (status, body) == (200, document())


def test_every_route_is_on_the_page_and_every_entry_is_a_route() -> None:
    """Nothing is served unsaid, nothing said unserved."""
    jobs = make_jobs(cast("Any", None), catalog(), "none")  # its doors are opened by requests alone
    served = _routes(make()) | _routes(jobs)
    tasks = {("POST", f"/v1/{task}") for task in TASKS}
    said = {
        (method.upper(), re.sub(r"{(\w+)}", r"<\1>", path))
        for path, operations in document()["paths"].items()
        for method in operations
    }
    assert said == (served - {("POST", "/v1/<task>")}) | tasks


def _routes(api: Resolver) -> set[tuple[str, str]]:
    return {(route.method, route.path) for route in [*api._static_routes, *api._dynamic_routes]}
