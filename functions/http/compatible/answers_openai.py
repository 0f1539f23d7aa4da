"""Answers the requests of clients of OpenAI and Jina, and the completions that @huggingface/inference asks for.

Must not know paths, nor how bodies are read or answers are written.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

from functions.http.compatible import hugging_face, jina, openai
from functions.http.compatible.service import Service


def embeddings(service: Service) -> object:
    """Answer with vectors of texts."""
    body = jina.EmbeddingsBody.model_validate(service.body())
    _, tokenizer = service.model_for("feature-extraction", body.model)
    asked = openai.embeddings_request(body, tokenizer, service.head_for("feature-extraction", body.model))
    result = service.ask("feature-extraction", asked, openai.EMBEDDINGS_NAMES)
    return service.api.ok(openai.embeddings_answer(body, result))


def completions(service: Service) -> object:
    """Answer with continuations of prompts."""
    return _completion(service, service.body())


def completions_of_model(service: Service, model: str) -> object:
    """Answer with continuations, sampled on request alone, by the model of the path."""
    return _completion(service, hugging_face.completions(service.body(), unquote(model)))


def _completion(service: Service, given: dict[str, Any]) -> object:
    body = openai.OpenAICompletionsBody.model_validate(given)
    _, tokenizer = service.model_for("text-generation", body.model)
    result = service.ask("text-generation", openai.completions_request(body, tokenizer), openai.COMPLETIONS_NAMES)
    created_s = int(time.time())
    answer = openai.completions_answer(body, result, tokenizer, answer_id=service.answer_id(), created_s=created_s)
    return service.api.ok(answer)
