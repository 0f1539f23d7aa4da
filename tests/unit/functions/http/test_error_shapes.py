"""Errors on routes of other ecosystems have the form, the status and the headers that their clients read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.http.error_shapes import shaped
from shared.errors import Forbidden, GlossaError, NotFound, Overloaded, Unavailable, Unprocessable
from shared.messages import InferCall, ModelOutput
from tests.events import request
from tests.unit.functions.http.world import make, send

OVERLOADED = Overloaded("got a full queue", retry_after_s=3.0)


def shape(path: str, error: GlossaError) -> tuple[int, Any]:
    """Return status and body of an error on a path."""
    status, _, body = shaped(path, error.to_problem())
    return status, body


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Unprocessable("input: got 3, expected a text", hint="send a text"), 400, "invalid_request_error"),
        (NotFound("no model 'a'"), 404, "invalid_request_error"),
        (Forbidden("got no scope"), 403, "permission_error"),
        (OVERLOADED, 429, "rate_limit_error"),
        (Unavailable("the model server is not ready"), 503, "server_error"),
    ],
)
def test_openai_has_a_type_for_each_status(error: GlossaError, status: int, kind: str) -> None:
    """The message has the way forward; 422 becomes 400."""
    found, body = shape("/v1/embeddings", error)
    assert (found, body["error"]["type"]) == (status, kind)
    assert body["error"]["message"] == "; ".join(filter(None, (error.message, error.hint)))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_a_client_of_openai_is_told_what_is_not_served(path: str) -> None:
    """It shows `error.message` alone, so that problem details would be a bare 404."""
    status, body, _ = send(make(), request("POST", path, '{"model": "mini"}'))
    assert status == 404
    assert body["error"]["message"].startswith("no ")
    assert body["error"]["type"] == "invalid_request_error"


def test_tei_and_hugging_face_name_an_overload() -> None:
    """Their clients wait and ask again."""
    for path, kind in (("/embed", "Overloaded"), ("/tei/mini/predict", "Overloaded"), ("/hf/mini", "overloaded")):
        assert shape(path, OVERLOADED) == (429, {"error": "got a full queue", "error_type": kind})
    assert shape("/info", Unavailable("not ready"))[1]["error_type"] == "Unhealthy"


@pytest.mark.parametrize("path", ["/v1/text-classification", "/v1/jobs", "/v1/embeddings2", "/", "/embedded", "/hf"])
def test_our_own_routes_answer_with_the_problem(path: str) -> None:
    """Nothing is added on a path of ours, or of nobody."""
    assert shape(path, OVERLOADED) == (429, OVERLOADED.to_problem())


def test_a_slash_at_the_end_changes_no_form() -> None:
    """The route takes the request as well."""
    for path in ("/v1/embeddings", "/v2/embed", "/embed", "/hf/mini", "/tei/mini/rerank", "/v1/models", "/v1/jobs"):
        assert shape(f"{path}/", OVERLOADED) == shape(path, OVERLOADED)


def test_the_protocol_of_tensors_keeps_its_form() -> None:
    """Below /v2 the key `error` stands beside the problem, but not on the routes of Cohere."""
    assert shape("/v2/models/mini/infer", OVERLOADED)[1] == {"error": "got a full queue", **OVERLOADED.to_problem()}
    assert shape("/v2/embed", OVERLOADED)[1] == {"message": "got a full queue"}


def test_an_overload_says_when_to_come_back() -> None:
    """The clients of OpenAI read the header Retry-After."""

    def full(call: InferCall) -> ModelOutput:
        raise OVERLOADED

    status, body, headers = send(make(full), request("POST", "/v1/embeddings", json.dumps({"input": "a"})))
    assert (status, headers["retry-after"], body["error"]["code"]) == (429, "3", "overloaded")


def test_a_wrong_method_has_their_form() -> None:
    """It is refused before any route is reached."""
    status, body, headers = send(make(), request("GET", "/v1/embeddings"))
    assert (status, headers["allow"], list(body)) == (405, "OPTIONS, POST", ["error"])
