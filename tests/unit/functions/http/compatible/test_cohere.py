"""Cohere's routes: vectors in several precisions, documents by relevance as for Jina, errors in its form."""

from __future__ import annotations

import pytest

from functions.http.compatible.cohere import CohereEmbedBody, embed_request
from shared.catalog import Head
from tests.unit.functions.http.compatible.asking import ask, own

TEXTS = ["The river", "rises"]
DOCUMENTS = ["The river rises.", "A cat.", "Das Wasser steigt."]


def test_version_1_without_types_answers_with_lists() -> None:
    """They are the unit vectors of our route."""
    status, answer, _ = ask("/v1/embed", {"texts": TEXTS, "model": "mini", "input_type": "search_document"})
    assert (status, answer["response_type"], answer["texts"]) == (200, "embeddings_floats", TEXTS)
    assert answer["embeddings"] == own("feature-extraction", TEXTS, normalize=True)


def test_each_asked_type_is_answered() -> None:
    """Each is what our route answers in that precision."""
    types = ["float", "int8", "uint8", "binary", "ubinary"]
    _, answer, _ = ask("/v2/embed", {"texts": TEXTS, "embedding_types": types, "truncate": "END"})
    assert answer["embeddings"].pop("float") == own("feature-extraction", TEXTS, normalize=True)
    for name, found in answer["embeddings"].items():
        wanted = own("feature-extraction", TEXTS, normalize=True, precision=name)
        assert found == [each["vectors"] for each in wanted]
    assert answer["meta"]["billed_units"]["input_tokens"] == 9


def test_an_input_type_takes_the_declared_prompt_of_that_name() -> None:
    """A document has the prompt `passage` where `document` is not declared. No type takes the default prompt."""
    prompts = {"query": "query: ", "passage": "passage: "}
    head = Head(task="feature-extraction", prompts=prompts, default_prompt="query")
    types = "search_query", "search_document", "classification", None
    bodies = [CohereEmbedBody.model_validate({"texts": ["a"], "input_type": name}) for name in types]
    found = [embed_request(body, head)["parameters"].get("prompt_name") for body in bodies]
    assert found == ["query", "passage", "", None]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_documents_come_by_relevance(path: str) -> None:
    """Order and scores are those of our route; texts and objects may be mixed, and come back on request."""
    documents = [DOCUMENTS[0], {"text": DOCUMENTS[1], "id": 7}, DOCUMENTS[2]]
    body = {"query": "high water", "documents": documents, "top_n": 2.0, "return_documents": True, "model": None}
    status, answer, _ = ask(path, body)
    [wanted] = own("rerank", {"query": "high water", "documents": DOCUMENTS}, top_n=2)
    assert status == 200
    assert [(each["index"], each["relevance_score"]) for each in answer["results"]] == [
        (each["index"], each["score"]) for each in wanted
    ]
    shown = [document if isinstance(document, dict) else {"text": document} for document in documents]
    assert [each["document"] for each in answer["results"]] == [shown[each["index"]] for each in wanted]


def test_rank_fields_are_read_as_lines() -> None:
    """Each field stands on a line with its name, as Cohere reads it."""
    body = {"query": "q", "documents": [{"title": "A", "body": "b"}], "rank_fields": ["title", "body"]}
    _, answer, _ = ask("/v1/rerank", body)
    [[wanted]] = own("rerank", {"query": "q", "documents": ["title: A\nbody: b"]})
    assert answer["results"][0]["relevance_score"] == wanted["score"]


def test_our_own_rerank_stays() -> None:
    """A body with `inputs` is ours."""
    _, answer, _ = ask("/v1/rerank", {"inputs": {"query": "q", "documents": DOCUMENTS}})
    assert (answer["task"], len(answer["results"][0])) == ("rerank", 3)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/embed", {"texts": ["a"], "model": "nope"}, 404),
        ("/v2/embed", {"texts": []}, 422),
        ("/v2/embed", {"texts": ["a"], "input_type": "image"}, 422),
        ("/v2/embed", {"texts": ["a"], "truncate": "START"}, 422),
        ("/v2/embed", {"images": ["a"]}, 422),
        ("/v1/embed", {"texts": [""]}, 422),
        ("/v2/rerank", {"query": "q", "documents": [{"id": 7}]}, 422),
        ("/v2/rerank", {"query": "q", "documents": [3]}, 422),
        ("/v2/rerank", {"query": "", "documents": ["a"]}, 422),
    ],
)
def test_an_error_is_a_message(path: str, body: object, status: int) -> None:
    """Clients show `message`."""
    found, answer, headers = ask(path, body)
    assert (found, list(answer), headers["content-type"]) == (status, ["message"], "application/json")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v2/embed", {"texts": ["a", ""]}, "texts[1]"),
        ("/v2/embed", {"texts": ["a"], "output_dimension": 99}, "output_dimension"),
        ("/v2/rerank", {"query": "", "documents": ["a"]}, "query"),
        ("/v2/rerank", {"query": "q", "documents": ["a"] * 1001}, "documents"),
        ("/rerank", {"query": "q", "texts": ["a"] * 1001}, "texts"),
        ("/rerank", {"query": "q", "texts": ["a", " "]}, "texts[1]"),
    ],
)
def test_an_error_names_the_field_of_the_caller(path: str, body: object, field: str) -> None:
    """A caller of Cohere or TEI knows no `inputs` and no `parameters`."""
    assert ask(path, body)[1]["message"].startswith(f"{field}: got ")


def test_an_error_of_the_shared_ranking_serves_both() -> None:
    """It stays a problem, with Cohere's `message` beside."""
    status, answer, _ = ask("/v1/rerank", {"query": "q", "documents": []})
    assert (status, answer["status"]) == (422, 422)
    assert answer["message"].startswith("documents: got [], expected at least 1 item")
