"""Answers the requests of clients of Cohere, and a ranking on all routes that clients of Cohere or Jina use.

Must not know paths, nor how bodies are read or answers are written.
"""

from __future__ import annotations

from typing import Any

from functions.http.compatible import cohere
from functions.http.compatible.service import Service


def embed_1(service: Service) -> object:
    """Answer version 1: vectors of texts."""
    return _embed(service, 1)


def embed_2(service: Service) -> object:
    """Answer version 2: vectors of texts, by their type."""
    return _embed(service, 2)


def rerank_2(service: Service) -> object:
    """Answer version 2: documents by relevance."""
    return rank_for_cohere(service, service.body(), 2)


def _embed(service: Service, version: int) -> object:
    body = cohere.CohereEmbedBody.model_validate(service.body())
    head = service.head_for("feature-extraction", body.model)
    result = service.ask("feature-extraction", cohere.embed_request(body, head), cohere.EMBED_NAMES)
    return service.api.ok(cohere.embed_answer(body, result, answer_id=service.answer_id(), version=version))


def rank_for_cohere(service: Service, given: dict[str, Any], version: int) -> object:
    """Answer a body of Cohere or Jina: a query, and documents to put in order."""
    body = cohere.CohereRerankBody.model_validate(given)
    result = service.ask("rerank", cohere.rerank_request(body), cohere.RANK_NAMES)
    return service.api.ok(cohere.rerank_answer(body, result, answer_id=service.answer_id(), version=version))
