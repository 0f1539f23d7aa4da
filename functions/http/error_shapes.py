"""The form of an error on a route of another ecosystem, so that its clients raise what their users know.

Works on problem details and the path of the request. Must not know requests or who failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from shared.content_types import JSON_TYPE, PROBLEM_TYPE

Problem = Mapping[str, Any]
Shape = Callable[[Problem], dict[str, Any]]
SERVER_ERROR, NOT_FOUND, UNPROCESSABLE, TOO_MANY = 500, 404, 422, 429
_FIELD = re.compile(r"([a-z_]+)[\w.\[\]]*: got ")  # how our messages about one field begin
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", TOO_MANY: "rate_limit_error"}
_TEI_TYPES = {TOO_MANY: "Overloaded", 503: "Unhealthy"}


def _text(problem: Problem) -> str:
    """Return the detail with the way forward."""
    hint = problem.get("hint")
    return f"{problem['detail']}; {hint}" if hint else str(problem["detail"])


def openai(problem: Problem) -> dict[str, Any]:
    """Return `error` as OpenAI writes it."""
    status, field = problem["status"], _FIELD.match(str(problem["detail"]))
    usual = "server_error" if status >= SERVER_ERROR else "invalid_request_error"
    code = "model_not_found" if status == NOT_FOUND and "model" in str(problem["detail"]) else problem["code"]
    said = {"message": _text(problem), "type": _OPENAI_TYPES.get(status, usual)}
    return {"error": {**said, "param": field[1] if field else None, "code": code}}


def cohere(problem: Problem) -> dict[str, Any]:
    """Return `message`, as Cohere does."""
    return {"message": _text(problem)}


def tei(problem: Problem) -> dict[str, Any]:
    """Return `error` and `error_type`, as text-embeddings-inference and Hugging Face do."""
    usual = "Backend" if problem["status"] >= SERVER_ERROR else "Validation"
    return {"error": _text(problem), "error_type": _TEI_TYPES.get(problem["status"], usual)}


def hugging_face(problem: Problem) -> dict[str, Any]:
    """Return `error`, with the type that clients of text-generation-inference know."""
    kinds = {UNPROCESSABLE: "validation", TOO_MANY: "overloaded"}
    return {"error": _text(problem), "error_type": kinds.get(problem["status"], problem["code"])}


def _ranking(problem: Problem) -> dict[str, Any]:
    """Return what clients of Cohere, Jina and TEI read: they share the route."""
    return {**cohere(problem), **tei(problem), "detail": problem["detail"]}


def _beside(shape: Shape) -> Shape:
    """Return a shape beside the problem: our own clients use these routes too."""
    return lambda problem: {**problem, **shape(problem)}


def _v2(problem: Problem) -> dict[str, Any]:
    """Return the problem with the key `error`, which clients of the Open Inference Protocol show."""
    return {"error": problem["detail"], **problem}


# The first pattern that a path matches decides. Those of our own routes stay problem details, with more keys.
_SHAPES: tuple[tuple[re.Pattern[str], Shape], ...] = (
    (re.compile(r"/v1/(?:embeddings|completions)$"), openai),
    (re.compile(r"/v1/(?:chat/completions|responses)$"), openai),  # not served, and its clients show no other form
    (re.compile(r"/v1/models(?:/|$)"), _beside(openai)),
    (re.compile(r"/v1/rerank$"), _beside(cohere)),
    (re.compile(r"/v1/embed$|/v2/(?:embed|rerank)$"), cohere),
    (re.compile(r"/v2(?:/|$)"), _v2),
    (re.compile(r"/hf/[^/]+/v1/completions$"), openai),
    (re.compile(r"/hf/"), hugging_face),
    (re.compile(r"(?:/tei/[^/]+)?/rerank$"), _ranking),
    (
        re.compile(r"/tei/|/(?:embed|embed_all|embed_sparse|predict|similarity|tokenize|decode|info|health|metrics)$"),
        tei,
    ),
)
_OURS_TOO = ("/v1/models", "/v1/rerank")


def shaped(path: str, problem: Problem) -> tuple[int, str, dict[str, Any]]:
    """Return the status, the content type and the body of an error: problem details, unless another ecosystem asks.

    OpenAI answers 400 where we say 422, and its clients know that alone as a request to correct.
    """
    path = path.rstrip("/")  # routes are found with and without it
    shape = next((found for pattern, found in _SHAPES if pattern.match(path)), None)
    if shape is None or path.startswith(_OURS_TOO):
        return problem["status"], PROBLEM_TYPE, dict(problem) if shape is None else shape(problem)
    status = 400 if shape is openai and problem["status"] == UNPROCESSABLE else problem["status"]
    return status, JSON_TYPE, shape(problem)
