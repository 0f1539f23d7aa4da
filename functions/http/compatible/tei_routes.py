"""Adds the routes of text-embeddings-inference: at the root for the default model, below `/tei/MODEL` for a named one.

`/info` and `/health` are also where clients of Hugging Face look, below `/hf/MODEL`. Must not know how bodies are read
or answers are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response

from functions.http.compatible import tei
from functions.http.compatible.cohere_routes import rank_for_cohere
from functions.http.compatible.fields import checked_head, has_ids, listed, texts_of_ids
from functions.http.compatible.service import Service
from functions.http.token_requests import detokenize_json, tokenize_json
from shared.catalog import Head, Model, split_reference

PREFIXES = ("", "/tei/<model>")
EMBEDS = "feature-extraction"
# The text exposition format of Prometheus.
METRICS = """# HELP glossa_ready Whether the model server takes calls.
# TYPE glossa_ready gauge
glossa_ready {ready}
# HELP glossa_models Models in the catalog.
# TYPE glossa_models gauge
glossa_models {n_models}
"""


def add_tei(service: Service) -> None:
    """Add the routes to the API."""
    for prefix in PREFIXES:
        _add_vectors(service, prefix)
        _add_labels(service, prefix)
        _add_tokens(service, prefix)
        _add_service(service, prefix)
    _add_service(service, "/hf/<model>")

    @service.api.get("/metrics")
    def metrics() -> object:
        service.caller()
        page = METRICS.format(ready=int(service.ready()), n_models=len(service.pipeline.catalog.models))
        return Response(200, "text/plain; version=0.0.4", page)


def _add_vectors(service: Service, prefix: str) -> None:
    api = service.api

    @api.post(f"{prefix}/embed")
    def embed(model: str | None = None) -> object:
        body = tei.EmbedBody.model_validate(_body(service, model))
        result = service.ask(EMBEDS, tei.embed_request(body, _texts(service, body.inputs, body.model)))
        return api.ok(result.values)

    @api.post(f"{prefix}/embed_all")
    def embed_all(model: str | None = None) -> object:
        body = tei.EmbedAllBody.model_validate(_body(service, model))
        result = service.ask(EMBEDS, tei.embed_all_request(body, _texts(service, body.inputs, body.model)))
        return api.ok(result.values)

    @api.post(f"{prefix}/embed_sparse")
    def embed_sparse(model: str | None = None) -> object:
        body = tei.EmbedAllBody.model_validate(_body(service, model))
        texts = _texts(service, body.inputs, tei.sparse_head(body.model, service.pipeline.catalog))
        result = service.ask(EMBEDS, tei.embed_sparse_request(body, texts, service.pipeline.catalog))
        return api.ok(tei.embed_sparse_answer(result))

    @api.post(f"{prefix}/similarity")
    def similarity(model: str | None = None) -> object:
        body = tei.SimilarityBody.model_validate(_body(service, model))
        return api.ok(service.ask("sentence-similarity", tei.similarity_request(body)).values[0])


def _add_labels(service: Service, prefix: str) -> None:
    api = service.api

    @api.post(f"{prefix}/predict")
    def predict(model: str | None = None) -> object:
        body = tei.PredictBody.model_validate(_body(service, model))
        asked, many = tei.predict_request(body)
        values = service.ask("text-classification", asked).values
        return api.ok(values if many else values[0])

    @api.post(f"{prefix}/rerank")
    def rerank(model: str | None = None) -> object:
        given = _body(service, model)
        if "documents" in given and "texts" not in given:  # Jina's clients use the same path
            return rank_for_cohere(service, given, 1)
        return api.ok(
            tei.rerank_answer(service.ask("rerank", tei.rerank_request(tei.RerankBody.model_validate(given))))
        )


def _add_tokens(service: Service, prefix: str) -> None:
    api = service.api

    @api.post(f"{prefix}/tokenize")
    def tokenize(model: str | None = None) -> object:
        body = tei.TokenizeBody.model_validate(_body(service, model))
        texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
        asked = {"inputs": texts, "model": body.model, "add_special_tokens": body.add_special_tokens}
        answer, _ = tokenize_json(asked, service.pipeline.catalog, service.pipeline.tokenizers)
        return api.ok(tei.tokenize_answer(answer, texts))

    @api.post(f"{prefix}/decode")
    def decode(model: str | None = None) -> object:
        body = tei.DecodeBody.model_validate(_body(service, model))
        asked = {"ids": body.ids, "model": body.model, "skip_special_tokens": body.skip_special_tokens}
        answer, _ = detokenize_json(asked, service.pipeline.catalog, service.pipeline.tokenizers)
        return api.ok([each["text"] for each in answer["results"]])


def _add_service(service: Service, prefix: str) -> None:
    api = service.api

    @api.get(f"{prefix}/info")
    def info(model: str | None = None) -> object:
        service.caller()
        return api.ok(tei.info(*_described(service, model)))

    @api.get(f"{prefix}/health")
    def health(model: str | None = None) -> object:
        service.caller()
        _described(service, model)
        service.check_ready()
        return api.ok({"status": "ready"})


def _body(service: Service, model: str | None) -> dict[str, Any]:
    """Return the body of the current request, with the model of its path."""
    return service.body() if model is None else service.body() | {"model": unquote(model)}


def _texts(service: Service, inputs: object, model: str | None) -> Sequence[object]:
    found, _ = listed(inputs, "inputs")
    if not has_ids(found):
        return found
    return texts_of_ids(found, service.model_for(EMBEDS, model)[1], "inputs")


def _described(service: Service, model: str | None) -> tuple[Model, Head]:
    """Return the model and head that a path names, else the head that answers. Raises NotFound, Unprocessable."""
    catalog = service.pipeline.catalog
    name, head = split_reference(catalog.default_model if model is None else unquote(model))
    found = catalog.model(name)
    if head is not None:
        return found, checked_head(found, head)
    heads = list(found.heads.values())
    return found, next((each for each in heads if each.task == EMBEDS), heads[0])
