"""The routes of other ecosystems: each is answered, each is on the OpenAPI page, and none costs before it is used."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from functions.http.compatible.answers import ANSWERS
from functions.http.compatible.operations import OPERATIONS
from functions.http.compatible.paths import compatible_routes
from functions.http.openapi_document import document
from tests.events import FakeContext, request
from tests.unit.functions.http.compatible.asking import ask, own
from tests.unit.functions.http.world import make, send

PROGRAM = "import sys, functions.http.text_routes; print(*(m for m in sys.modules if '.compatible.' in m))"


def test_each_route_is_answered_and_described() -> None:
    """Routes, answers and the OpenAPI page have the same paths, each with one method."""
    paths = [path for _, path in compatible_routes()]
    assert Counter(paths) == Counter(ANSWERS.keys())
    assert set(compatible_routes()) == {(each.method, each.path) for each in OPERATIONS}


def test_a_function_starts_without_the_adapters() -> None:
    """Only the table of routes, and what it needs, is imported with our own routes."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {f"functions.http.compatible.{name}" for name in ("paths", "routes", "service")}


def test_an_encoded_colon_is_read() -> None:
    """Some clients encode the colon of `model:head` in a path."""
    wanted = own("text-classification", "a", top_k=None)
    assert ask("/hf/mini%3Atopic", {"inputs": "a"})[1] == wanted
    assert ask("/tei/mini%3Atopic/predict", {"inputs": "a"})[1] == wanted[0]


def test_the_page_has_bounds_by_their_names_in_json_schema() -> None:
    """A bound that pydantic could not write would stand there as `ge` or `le`, which no reader knows."""
    page = document()
    assert page["components"]["schemas"]["CohereRerankBody"]["properties"]["documents"]["maxItems"] == 1000
    assert not {"ge", "gt", "le", "lt"} & set(re.findall(r'"(\w+)":', json.dumps(page)))


def test_the_page_says_that_metrics_are_text() -> None:
    """Every other answer is JSON."""
    assert list(document()["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]


def test_the_page_has_both_bodies_of_a_shared_path() -> None:
    """A generated client can send ours and Cohere's to `/v1/rerank`."""
    assert [
        each["$ref"].rsplit("/", 1)[1] for each in document()["components"]["schemas"]["SharedRerankBody"]["oneOf"]
    ] == [
        "RerankBody",
        "CohereRerankBody",
    ]


def test_a_query_parameter_is_refused_where_a_body_is_read() -> None:
    """It would have no effect, as on our own routes. Each refusal has the form of its ecosystem."""
    raw = request("POST", "/v1/embeddings", json.dumps({"input": "a"}), queryStringParameters={"api-version": "1"})
    status, problem, _ = send(make(), raw)
    assert (status, problem["error"]["message"]) == (400, "got the query parameter 'api-version', expected none here")
    raw = request("POST", "/embed", json.dumps({"inputs": "a"}), queryStringParameters={"normalize": "false"})
    assert send(make(), raw)[0] == 422


@pytest.mark.parametrize("name", ["info", "health"])
def test_a_path_with_a_name_of_its_own_is_no_task(name: str) -> None:
    """`/hf/mini/health` looks like a task of the model, but has GET alone."""
    made = make().resolve(request("POST", f"/hf/mini/{name}", "{}"), FakeContext())
    assert (made["statusCode"], made["multiValueHeaders"]["Allow"]) == (405, ["GET, HEAD, OPTIONS"])


def test_an_unknown_task_of_a_path_is_reported_before_the_body() -> None:
    """As on our own routes."""
    status, problem, _ = send(make(), request("POST", "/hf/mini/nope", "no json"))
    assert (status, "tasks: feature-extraction" in problem["error"]) == (404, True)


def test_a_model_in_the_body_beside_that_of_the_path_is_checked() -> None:
    """The path decides, and what is no name is still refused."""
    assert ask("/tei/mini:embed/embed", {"inputs": "a", "model": "plain"})[0] == 200
    assert ask("/tei/mini:embed/embed", {"inputs": "a", "model": ""})[0] == 422


def test_the_page_says_that_null_counts_as_left_out() -> None:
    """Every field that may be left out may be null."""
    schema = document()["components"]["schemas"]["TeiPredictBody"]
    for name, field in schema["properties"].items():
        assert (name in schema["required"]) is ({"type": "null"} not in field.get("anyOf", ())), name


@pytest.mark.parametrize(("path", "body"), [("/hf/mini:topic", {"inputs": "a"}), ("/v1/completions", {"prompt": "a"})])
def test_a_zero_is_not_false(path: str, body: dict[str, object]) -> None:
    """`stream` takes false alone, as the page says."""
    assert ask(path, body | {"stream": False})[0] == 200
    assert ask(path, body | {"stream": 0})[0] in (400, 422)
