"""The calls of `cohere` for Python, both versions of the API. Must not know how our routes answer."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import cohere

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

TEXTS = ["The river rises after the rain.", "Das Wasser steigt."]
QUERY, DOCUMENTS = "high water", ["The river rises.", "A cat sleeps.", "Das Wasser steigt."]
EMBED, RANK = "feature-extraction", "rerank"


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    first, second = cohere.Client(api.key, base_url=api.url), cohere.ClientV2(api.key, base_url=api.url)
    yield Call(
        "Client.embed",
        EMBED,
        lambda: first.embed(texts=TEXTS, model=api.model(EMBED), input_type="search_document").embeddings,
        lambda: api.own(EMBED, TEXTS, normalize=True),
    )
    yield from _typed(api, second)
    yield Call(
        "Client.rerank, return_documents",
        RANK,
        lambda: [
            {"index": each.index, "score": each.relevance_score, "document": each.document.text}
            for each in first.rerank(
                query=QUERY, documents=DOCUMENTS, model=api.model(RANK), top_n=2, return_documents=True
            ).results
        ],
        lambda: api.one(RANK, {"query": QUERY, "documents": DOCUMENTS}, top_n=2, return_documents=True),
    )
    yield Call(
        "ClientV2.rerank",
        RANK,
        lambda: [
            {"index": each.index, "score": each.relevance_score}
            for each in second.rerank(query=QUERY, documents=DOCUMENTS, model=api.model(RANK)).results
        ],
        lambda: api.one(RANK, {"query": QUERY, "documents": DOCUMENTS}),
    )
    wrong = {"query": QUERY, "documents": DOCUMENTS, "model": "nope"}
    yield Call(
        "errors: NotFoundError",
        RANK,
        lambda: raised(lambda: second.rerank(**wrong), cohere.NotFoundError, "no model 'nope'"),
        lambda: True,
    )


def _typed(api: Api, client: cohere.ClientV2) -> Iterator[Call]:
    def found(**more: Any) -> Any:
        return client.embed(texts=TEXTS, model=api.model(EMBED), input_type="search_query", **more).embeddings

    yield Call(
        "ClientV2.embed",
        EMBED,
        lambda: found(embedding_types=["float"]).float_,
        lambda: api.own(EMBED, TEXTS, normalize=True),
    )
    for name in ("int8", "uint8", "binary", "ubinary"):
        yield Call(
            f"ClientV2.embed, {name}",
            EMBED,
            lambda name=name: getattr(found(embedding_types=[name, "float"]), name),
            lambda name=name: [each["vectors"] for each in api.own(EMBED, TEXTS, precision=name)],
        )


if __name__ == "__main__":
    report("cohere (Python)", version("cohere"), calls(api_of_arguments()))
