"""Cohere's embed and rerank, and Jina's rerank: bodies, and answers made of results.

The forms are those of https://docs.cohere.com/reference and https://jina.ai/reranker. Embeddings have length 1. Must
not know how vectors or scores are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from functions.http.compatible.fields import (
    Flag,
    ForeignBody,
    Ignored,
    ModelReference,
    declared_prompt,
    most,
    parameters,
)
from functions.http.compatible.openai import base64_of
from functions.http.compatible.service import MAX_INPUTS
from functions.messages import Result
from functions.tasks.parse import MAX_TEXTS
from functions.tasks.postprocessing.vectors import quantized
from functions.tasks.rerank import PROMPT_NAMES
from shared.catalog import Head
from shared.error_text import kind
from shared.errors import Unprocessable

EmbeddingType = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]
InputType = Literal["search_document", "search_query", "classification", "clustering"]
Vector = list[float]
_QUERY, _DOCUMENT = PROMPT_NAMES
_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "search_query": _QUERY,
    "search_document": _DOCUMENT,
    "classification": ("classification",),
    "clustering": ("clustering",),
}
RANK_FIELDS = ("text",)  # what is read of an object, unless the caller names fields

# Fields of ours, and their names here.
EMBED_NAMES = (("inputs", "texts"), ("parameters.dimensions", "output_dimension"))
RANK_NAMES = (("inputs[0].query", "query"), ("inputs[0].documents", "documents"), ("parameters.top_n", "top_n"))


class CohereEmbedBody(ForeignBody):
    """Texts to turn into vectors. Long texts are read in windows; `truncate` END keeps the first window only."""

    texts: Annotated[list[str], most(MAX_INPUTS)]
    model: ModelReference | None = None
    input_type: Annotated[InputType, Field(description="takes the prompt of that name, if declared")] | None = None
    embedding_types: Annotated[list[EmbeddingType], Field(min_length=1)] | None = None
    output_dimension: Annotated[int, Strict(), Field(ge=1)] | None = None
    truncate: Literal["NONE", "END"] = "NONE"
    priority: Ignored = None


class CohereRerankBody(ForeignBody):
    """A query, and documents to put in order: texts, or objects with a text."""

    query: str
    documents: Annotated[list[str | dict[str, Any]], most(MAX_TEXTS)]
    model: ModelReference | None = None
    top_n: Annotated[int, Strict(), Field(ge=1)] | None = None
    return_documents: Flag = False
    rank_fields: Annotated[list[str], Field(min_length=1)] | None = None
    max_chunks_per_doc: Ignored = None
    max_tokens_per_doc: Ignored = None
    priority: Ignored = None


def embed_request(body: CohereEmbedBody, head: Head) -> dict[str, Any]:
    """Return the body of feature-extraction."""
    wanted = parameters(
        normalize=True,
        dimensions=body.output_dimension,
        prompt_name=None if body.input_type is None else declared_prompt(_PROMPTS[body.input_type], head),
        truncation=True if body.truncate == "END" else None,
    )
    return {"inputs": body.texts, "model": body.model, "parameters": wanted}


def embed_answer(body: CohereEmbedBody, result: Result, *, answer_id: str, version: int) -> dict[str, Any]:
    """Return the vectors of each asked type. Version 1 without types answers with a list of float vectors."""
    vectors: list[Vector] = list(result.values)  # type: ignore[arg-type] # of feature-extraction in float32
    if body.embedding_types is None and version == 1:
        found: Any = {"response_type": "embeddings_floats", "embeddings": vectors}
    else:
        types = dict.fromkeys(body.embedding_types or ["float"])
        each = {name: [_ENCODERS[name](vector) for vector in vectors] for name in types}
        found = {"response_type": "embeddings_by_type", "embeddings": each}
    return {"id": answer_id, "texts": body.texts, **found, "meta": _meta(result, version)}


def rerank_request(body: CohereRerankBody) -> dict[str, Any]:
    """Return the body of rerank. Raises Unprocessable for an object without text."""
    documents = [_text(document, body.rank_fields, f"documents[{i}]") for i, document in enumerate(body.documents)]
    wanted = parameters(top_n=min(body.top_n, len(documents)) if body.top_n else None)
    return {
        "inputs": {"query": body.query, "documents": documents},
        "model": body.model,
        "parameters": wanted,
    }


def rerank_answer(body: CohereRerankBody, result: Result, *, answer_id: str, version: int) -> dict[str, Any]:
    """Return the documents by relevance, with what clients of Cohere and of Jina read."""
    ranked: Sequence[Mapping[str, Any]] = result.values[0]  # type: ignore[assignment] # of rerank
    results = [{"index": each["index"], "relevance_score": each["score"]} for each in ranked]
    if body.return_documents:
        results = [each | {"document": _document(body.documents[each["index"]])} for each in results]
    usage = {"total_tokens": sum(result.n_tokens), "prompt_tokens": sum(result.n_tokens)}
    about = {"id": answer_id, "object": "list", "model": body.model or result.model}
    return {**about, "results": results, "usage": usage, "meta": _meta(result, version)}


def _text(document: object, fields: Sequence[str] | None, where: str) -> object:
    """Return the text of a document: itself, its `text`, or its `rank_fields`, each on a line, as Cohere does."""
    if not isinstance(document, Mapping):
        return document
    named = {name: document[name] for name in fields or RANK_FIELDS if isinstance(document.get(name), str)}
    if not named:
        wanted = " or ".join(fields or RANK_FIELDS)
        raise Unprocessable(f"{where}: got {kind(document)} without a text, expected a text or an object with {wanted}")
    return (
        next(iter(named.values())) if fields is None else "\n".join(f"{name}: {text}" for name, text in named.items())
    )


def _document(document: object) -> object:
    return document if isinstance(document, Mapping) else {"text": document}


def _meta(result: Result, version: int) -> dict[str, Any]:
    n_tokens = sum(result.n_tokens)
    return {
        "api_version": {"version": str(version)},
        "billed_units": {"input_tokens": n_tokens},
        "tokens": {"input_tokens": n_tokens},
    }


def _as_ints(precision: Literal["int8", "uint8", "binary", "ubinary"]) -> Callable[[Vector], object]:
    return lambda vector: quantized(vector, precision)


_ENCODERS: Mapping[str, Callable[[Vector], object]] = {
    "float": list,
    "base64": base64_of,
    "int8": _as_ints("int8"),
    "uint8": _as_ints("uint8"),
    "binary": _as_ints("binary"),
    "ubinary": _as_ints("ubinary"),
}
