"""Posts to a route of the API over the world of tests, and asks our own routes for the same."""

from __future__ import annotations

import json
from typing import Any

from tests.events import request
from tests.unit.functions.http.world import Answer, make, post, send


def ask(path: str, body: object) -> Answer:
    """Post a JSON value to a path."""
    return send(make(), request("POST", path, json.dumps(body)))


def get(path: str) -> Answer:
    """Get a path."""
    return send(make(), request("GET", path))


def own(task: str, inputs: object, model: str | None = None, **parameters: Any) -> Any:
    """Return the results of our own route of a task."""
    status, answer, _ = post(make(), task, {"inputs": inputs, "parameters": parameters, "model": model})
    assert status == 200, answer
    return answer["results"]
