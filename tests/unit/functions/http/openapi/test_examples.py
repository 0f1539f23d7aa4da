"""Each example of the document is answered as it stands. It fits the document, as its answer does to the last field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import pytest

from functions.http.openapi_document import OPERATIONS, document
from functions.tasks.registry import TASK_NAMES
from tests.contract.whole_api import WholeApi
from tests.events import FakeContext, request

API = WholeApi()


def examples() -> Iterator[Any]:
    """Yield the path and the body of each example."""
    for operation in OPERATIONS:
        for name, body in operation.examples.items():
            yield pytest.param(operation.path, body, id=f"{operation.path} {name}")


def exact(schema: Any) -> Any:
    """Return a schema whose objects have no field but the documented ones."""
    if isinstance(schema, list):
        return [exact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: exact(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found


def assert_fits(value: object, schema: Any) -> None:
    """Assert that a value has the form of the document, and no field besides."""
    components = {"schemas": exact(document()["components"]["schemas"])}
    jsonschema.validate(value, {**exact(schema), "components": components})


def answer_schema(path: str, status: int, method: str = "post") -> Any:
    """Return the schema of an answer."""
    found = document()["paths"][path.replace("<", "{").replace(">", "}")][method]["responses"][str(status)]
    return found["content"]["application/json"]["schema"]


@pytest.mark.parametrize(("path", "body"), examples())
def test_an_example_is_answered_as_it_stands(path: str, body: Any) -> None:
    """Body and answer fit the document. An answer has no field that the document does not name."""
    operation = document()["paths"][path.replace("<", "{").replace(">", "}")]["post"]
    jsonschema.validate(
        body,
        {**operation["requestBody"]["content"]["application/json"]["schema"], "components": document()["components"]},
    )
    filled = path.replace("<model>", "mini:topic" if path.startswith("/hf") else "mini")
    made = API.resolve(request("POST", filled, json.dumps(body)), FakeContext())
    assert made["statusCode"] in (200, 201), made["body"]
    assert_fits(json.loads(made["body"]), answer_schema(path, made["statusCode"]))


def test_every_task_and_every_body_has_an_example() -> None:
    """But for bodies that need something of the caller's own: a job, or a model of the path."""
    without = {operation.path for operation in OPERATIONS if operation.body is not None and not operation.examples}
    assert not {f"/v1/{task}" for task in TASK_NAMES} & without
    assert {path for path in without if "<" not in path} == {"/embed_sparse"}


@pytest.mark.parametrize("path", [each.path for each in OPERATIONS if each.method == "GET" and "<" not in each.path])
def test_an_answer_to_get_fits(path: str) -> None:
    """Without a body there is nothing to paste."""
    made = API.resolve(request("GET", path), FakeContext())
    assert made["statusCode"] == 200
    if path not in ("/metrics", "/openapi.json", "/v1/openapi.json"):
        assert_fits(json.loads(made["body"]), answer_schema(path, 200, "get"))


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("feature-extraction", {"inputs": "a", "parameters": {"precision": "int8"}}),
    ("feature-extraction", {"inputs": "a", "parameters": {"precision": "ubinary", "per_token": True}}),
    ("feature-extraction", {"inputs": "a", "parameters": {"layers": [0, -1], "attentions": True}}),
    ("feature-extraction", {"inputs": "a", "model": "sparse"}),
    ("fill-mask", {"inputs": "<mask> and <mask>", "parameters": {"targets": ["a", "b"]}}),
    (
        "question-answering",
        {"inputs": {"question": "a", "context": "b"}, "parameters": {"handle_impossible_answer": True}},
    ),
    ("question-answering", {"inputs": {"question": "a", "context": "b c d e f"}, "parameters": {"top_k": 9}}),
    ("zero-shot-classification", {"inputs": ["a"], "parameters": {"candidate_labels": "a,b", "multi_label": True}}),
    (
        "text-generation",
        {"inputs": "a", "parameters": {"num_return_sequences": 2, "do_sample": True, "max_new_tokens": 2}},
    ),
]


@pytest.mark.parametrize(("task", "body"), VARIANTS, ids=[f"{i} {task}" for i, (task, _) in enumerate(VARIANTS)])
def test_every_form_of_an_answer_fits(task: str, body: dict[str, Any]) -> None:
    """Parameters and heads change the form of a value; the type of the task has all forms."""
    made = API.resolve(request("POST", f"/v1/{task}", json.dumps(body)), FakeContext())
    assert made["statusCode"] == 200, made["body"]
    assert_fits(json.loads(made["body"]), answer_schema(f"/v1/{task}", 200))


ERRORS = [
    ("POST", "/v1/fill-mask", 422, "/v1/fill-mask"),
    ("POST", "/v1/rerank", 422, "/v1/rerank"),
    ("POST", "/v1/embeddings", 400, "/v1/embeddings"),
    ("POST", "/v2/embed", 422, "/v2/embed"),
    ("POST", "/embed", 422, "/embed"),
    ("POST", "/rerank", 422, "/rerank"),
    ("POST", "/hf/mini", 422, "/hf/{model}"),
    ("GET", "/v1/models/nope", 404, "/v1/models/{name}"),
    ("GET", "/v2/models/nope", 404, "/v2/models/{model}"),
    ("POST", "/v2/models/mini/infer", 400, "/v2/models/{model}/infer"),
    ("GET", f"/v1/jobs/{'0' * 32}", 404, "/v1/jobs/{job}"),
    ("POST", "/v1/recipes", 422, "/v1/recipes"),
]


@pytest.mark.parametrize(("method", "path", "status", "documented"), ERRORS)
def test_an_error_fits(method: str, path: str, status: int, documented: str) -> None:
    """Each ecosystem's errors have the form and the content type that the document says."""
    made = API.resolve(request(method, path, "{}" if method == "POST" else None), FakeContext())
    assert made["statusCode"] == status, made["body"]
    named = document()["paths"][documented][method.lower()]["responses"][str(status)]["$ref"].rsplit("/", 1)[1]
    response = document()["components"]["responses"][named]
    (kind,) = made["multiValueHeaders"]["Content-Type"]
    assert_fits(json.loads(made["body"]), response["content"][kind]["schema"])
