"""Answers the requests of clients of text-embeddings-inference, with the model of the path where it names one.

Must not know paths, nor how bodies are read or answers are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response

from functions.http.compatible import tei
from functions.http.compatible.answers_cohere import rank_for_cohere
from functions.http.compatible.fields import checked_head, has_ids, listed, texts_of_ids
from functions.http.compatible.service import FOREIGN_LIMITS, Service
from functions.http.text_json import read_model
from functions.http.token_requests import detokenize_json, tokenize_json, without_batch_jobs
from shared.catalog import Head, Model, split_reference

EMBEDS = "feature-extraction"
# The text exposition format of Prometheus.
METRICS = """# HELP glossa_ready Whether the model server takes calls.
# TYPE glossa_ready gauge
glossa_ready {ready}
# HELP glossa_models Models in the catalog.
# TYPE glossa_models gauge
glossa_models {n_models}
"""


def embed(service: Service, model: str | None = None) -> object:
    """Answer with a vector for each text."""
    body = tei.TeiEmbedBody.model_validate(_body(service, model))
    result = service.ask(EMBEDS, tei.embed_request(body, _texts(service, body.inputs, body.model)), tei.EMBED_NAMES)
    return service.api.ok(result.values)


def embed_all(service: Service, model: str | None = None) -> object:
    """Answer with a vector for each token."""
    body = tei.TeiEmbedAllBody.model_validate(_body(service, model))
    result = service.ask(EMBEDS, tei.embed_all_request(body, _texts(service, body.inputs, body.model)), tei.EMBED_NAMES)
    return service.api.ok(result.values)


def embed_sparse(service: Service, model: str | None = None) -> object:
    """Answer with the weights of tokens."""
    body = tei.TeiEmbedAllBody.model_validate(_body(service, model))
    texts = _texts(service, body.inputs, tei.sparse_head(body.model, service.pipeline.catalog))
    result = service.ask(EMBEDS, tei.embed_sparse_request(body, texts, service.pipeline.catalog), tei.EMBED_NAMES)
    return service.api.ok(tei.embed_sparse_answer(result))


def similarity(service: Service, model: str | None = None) -> object:
    """Answer with the cosines of sentences."""
    body = tei.TeiSimilarityBody.model_validate(_body(service, model))
    return service.api.ok(
        service.ask("sentence-similarity", tei.similarity_request(body), tei.SIMILARITY_NAMES).values[0]
    )


def predict(service: Service, model: str | None = None) -> object:
    """Answer with labels of texts and pairs."""
    body = tei.TeiPredictBody.model_validate(_body(service, model))
    asked, many = tei.predict_request(body)
    values = service.ask("text-classification", asked).values
    return service.api.ok(values if many else values[0])


def rerank(service: Service, model: str | None = None) -> object:
    """Answer with texts by score. A body with `documents` is one of Jina, whose clients use the same path."""
    given = _body(service, model)
    if "documents" in given and "texts" not in given:
        return rank_for_cohere(service, given, 1)
    asked = tei.rerank_request(tei.TeiRerankBody.model_validate(given))
    return service.api.ok(tei.rerank_answer(service.ask("rerank", asked, tei.RANK_NAMES)))


def tokenize(service: Service, model: str | None = None) -> object:
    """Answer with the tokens of texts."""
    body = tei.TeiTokenizeBody.model_validate(_body(service, model))
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    if body.prompt_name:
        head = service.head_for(EMBEDS, body.model, prompt_name=body.prompt_name)
        texts = [head.prompts[body.prompt_name] + text for text in texts]
    asked = {"inputs": texts, "model": body.model, "add_special_tokens": body.add_special_tokens}
    return _answered(service, tokenize_json, asked, lambda answer: tei.tokenize_answer(answer, texts))


def decode(service: Service, model: str | None = None) -> object:
    """Answer with the texts of tokens."""
    body = tei.TeiDecodeBody.model_validate(_body(service, model))
    asked = {"ids": body.ids, "model": body.model, "skip_special_tokens": body.skip_special_tokens}
    return _answered(service, detokenize_json, asked, lambda answer: [each["text"] for each in answer["results"]])


def info(service: Service, model: str | None = None) -> object:
    """Answer with the facts of a model."""
    service.caller()
    return service.api.ok(tei.info(*_described(service, model)))


def health(service: Service, model: str | None = None) -> object:
    """Answer 200 when the model server takes calls."""
    service.caller()
    _described(service, model)
    service.check_ready()
    return service.api.ok({"status": "ready"})


def metrics(service: Service) -> object:
    """Answer with a page for Prometheus."""
    service.caller()
    page = METRICS.format(ready=int(service.ready()), n_models=len(service.pipeline.catalog.models))
    return Response(200, "text/plain; version=0.0.4", page)


def _body(service: Service, model: str | None) -> dict[str, Any]:
    """Return the body of the current request, with the model of its path. Raises Unprocessable for a bad `model`."""
    body = service.body()
    if model is None:
        return body
    read_model(body.get("model"))
    return body | {"model": unquote(model)}


def _answered(
    service: Service,
    make: Callable[..., tuple[dict[str, Any], Model]],
    asked: Mapping[str, Any],
    answered: Callable[[dict[str, Any]], object],
) -> object:
    """Answer a body of our own tokens or ids, in TEI's form."""
    with without_batch_jobs():
        answer, model = make(asked, service.pipeline.catalog, service.pipeline.tokenizers, FOREIGN_LIMITS)
        service.api.add_log_fields(model=model.name, n_rows=len(answer["results"]))
        return service.api.ok(answered(answer))


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
