"""The routes of other ecosystems: each reads its body, asks for a task of ours, and answers in the foreign form.

Must not know how bodies are read or answers are written; the adapters do.
"""

from __future__ import annotations

import time

from functions.http.compatible import openai
from functions.http.compatible.service import Service
from functions.http.resolver import request_id


def add_compatible_routes(service: Service) -> None:
    """Add the routes of all ecosystems to the API."""
    _add_openai(service)


def _add_openai(service: Service) -> None:
    api = service.api

    @api.post("/v1/embeddings")
    def embeddings() -> object:
        body = openai.EmbeddingsBody.model_validate(service.body())
        _, tokenizer = service.model_for("feature-extraction", body.model)
        result = service.ask("feature-extraction", openai.embeddings_request(body, tokenizer))
        return api.ok(openai.embeddings_answer(body, result))

    @api.post("/v1/completions")
    def completions() -> object:
        return _completion(service, openai.CompletionsBody.model_validate(service.body()))


def _completion(service: Service, body: openai.CompletionsBody) -> object:
    api = service.api
    _, tokenizer = service.model_for("text-generation", body.model)
    result = service.ask("text-generation", openai.completions_request(body, tokenizer))
    answer_id = request_id(api.current_event.raw_event, api.lambda_context)
    return api.ok(openai.completions_answer(body, result, tokenizer, answer_id=answer_id, created_s=int(time.time())))
