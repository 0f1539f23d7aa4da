"""The routes that list models, describe one model and report health."""

from __future__ import annotations

import json

import pytest

from tests.events import event, request
from tests.unit.functions.http.world import LABELS, make, send


def test_models_are_listed() -> None:
    """A caller sees names, tasks, heads, labels and limits of each model, but no path of a checkpoint."""
    status, body, _ = send(make(), event("rest_get"))
    assert (status, body["default_model"]) == (200, "mini")
    mini, plain = body["models"]
    assert mini["heads"]["topic"] == {
        "task": "text-classification", "tasks": ["text-classification"], "labels": list(LABELS), "default": True,
    }  # fmt: skip
    assert body["defaults"]["rerank"] == "mini:relevance"
    assert body["defaults"]["sentence-similarity"] == "mini:embed"
    assert (plain["name"], plain["tasks"], plain["max_tokens"]) == ("plain", ["text-classification"], 32)
    assert "nowhere" not in json.dumps(body)


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/text-classification"), ("GET", "/v1/models")])
def test_an_unknown_query_parameter_is_refused(method: str, path: str) -> None:
    """A query parameter that the route does not know is a 422."""
    raw = request(method, path, '{"inputs": "a"}', queryStringParameters={"top_k": "2"})
    status, problem, _ = send(make(), raw)
    assert (status, problem["detail"]) == (422, "got the query parameter 'top_k', expected none here")


def test_one_model() -> None:
    """Each model has its own route. An unknown model is a 404 that names the models."""
    assert send(make(), request("GET", "/v1/models/plain"))[1]["name"] == "plain"
    status, problem, _ = send(make(), request("GET", "/v1/models/maxi"))
    assert (status, "plain" in problem["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("mini%3Atopic", 200, "mini"),
        ("mini:topic", 200, "mini"),
        ("mini%3Anone", 404, "model mini has no head 'none'"),
        ("mini%3A", 422, "got 'mini:'"),
        ("bge-reranker-v2.5", 404, "no model 'bge-reranker-v2.5'"),
        ("%E6%97%A5", 404, "no model '日'"),
        ("org%2Fname", 404, "no model 'org/name'"),
    ],
)
def test_a_name_in_a_path_is_found_or_named(name: str, status: int, said: str) -> None:
    """A reference with a head finds its model, also percent-encoded. Another name is quoted as the caller means it."""
    found, body, _ = send(make(), request("GET", f"/v1/models/{name}"))
    assert found == status
    assert said in (body["name"] if found == 200 else body["detail"])


@pytest.mark.parametrize(("up", "status"), [(True, 200), (False, 503)])
def test_health_is_the_model_servers(*, up: bool, status: int) -> None:
    """Health is 200 when the model server takes requests, and otherwise 503 with Retry-After."""
    found, _, headers = send(make(up=up), request("GET", "/v1/health"))
    assert found == status
    assert up or headers["retry-after"] == "5"
