"""Adds the routes of other ecosystems: each reads its body, asks for a task of ours, and answers in the foreign form.

Must not know how bodies are read or answers are written; the adapters do.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

from functions.http.compatible import hugging_face, openai
from functions.http.compatible.cohere_routes import add_cohere
from functions.http.compatible.service import Service
from functions.http.compatible.tei_routes import add_tei


def add_compatible_routes(service: Service) -> None:
    """Add the routes of all ecosystems to the API."""
    _add_openai(service)
    add_cohere(service)
    _add_hugging_face(service)
    add_tei(service)


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
        return _completion(service, service.body())

    @api.post("/hf/<model>/v1/completions")
    def completions_of_model(model: str) -> object:  # where @huggingface/inference looks for text generation
        return _completion(service, hugging_face.completions(service.body(), unquote(model)))


def _completion(service: Service, given: dict[str, Any]) -> object:
    body = openai.CompletionsBody.model_validate(given)
    _, tokenizer = service.model_for("text-generation", body.model)
    result = service.ask("text-generation", openai.completions_request(body, tokenizer))
    made = {"answer_id": service.answer_id(), "created_s": int(time.time())}
    return service.api.ok(openai.completions_answer(body, result, tokenizer, **made))


def _add_hugging_face(service: Service) -> None:
    api = service.api

    @api.post("/hf/<model>")
    def infer(model: str) -> object:
        body = hugging_face.Body.model_validate(service.body())
        found, tasks = hugging_face.head_tasks(unquote(model), service.pipeline.catalog)
        return _inferred(service, hugging_face.choose_task(body, found, tasks), body, model)

    @api.post("/hf/<model>/<task>")
    def infer_task(model: str, task: str) -> object:
        return _inferred(service, task, hugging_face.Body.model_validate(service.body()), model)


def _inferred(service: Service, task: str, body: hugging_face.Body, model: str) -> object:
    result = service.ask(task, hugging_face.request(task, body, unquote(model)))
    return service.api.ok(hugging_face.answer(task, body, result))
