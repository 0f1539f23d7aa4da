"""Adds the routes of Cohere, and answers a ranking for all routes that clients of Cohere or Jina use.

Must not know how bodies are read or answers are written.
"""

from __future__ import annotations

from typing import Any

from functions.http.compatible import cohere
from functions.http.compatible.service import Service


def add_cohere(service: Service) -> None:
    """Add the routes to the API. `/v1/rerank` is a route of ours, which asks `rank_for_cohere` for bodies of Cohere."""
    api = service.api

    @api.post("/v1/embed")
    def embed_1() -> object:
        return _embed(service, 1)

    @api.post("/v2/embed")
    def embed_2() -> object:
        return _embed(service, 2)

    @api.post("/v2/rerank")
    def rerank_2() -> object:
        return rank_for_cohere(service, service.body(), 2)


def _embed(service: Service, version: int) -> object:
    body = cohere.EmbedBody.model_validate(service.body())
    head = service.head_for("feature-extraction", body.model)
    result = service.ask("feature-extraction", cohere.embed_request(body, head))
    return service.api.ok(cohere.embed_answer(body, result, answer_id=service.answer_id(), version=version))


def rank_for_cohere(service: Service, given: dict[str, Any], version: int) -> object:
    """Answer a body of Cohere or Jina: a query, and documents to put in order."""
    body = cohere.RerankBody.model_validate(given)
    result = service.ask("rerank", cohere.rerank_request(body))
    return service.api.ok(cohere.rerank_answer(body, result, answer_id=service.answer_id(), version=version))
