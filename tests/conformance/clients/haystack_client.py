"""The calls of Haystack and of its packages for Cohere, Jina, Hugging Face and TEI.

Must not know how our routes answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret
from haystack_integrations.components.embedders.cohere import CohereTextEmbedder
from haystack_integrations.components.embedders.huggingface_api import (
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
    HuggingFaceTEISparseTextEmbedder,
)
from haystack_integrations.components.embedders.jina import JinaTextEmbedder
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker

from tests.conformance.clients.calls import Api, Call, api_of_arguments, report

EMBED, RANK = "feature-extraction", "rerank"
QUERY = "The river rises."
TEXTS = ["A cat sleeps.", "The river rises.", "Das Wasser steigt im Fluss."]


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    key = Secret.from_token(api.key)
    for name, make in _embedders(api, key).items():
        yield Call(
            name, EMBED, lambda make=make: make().run(QUERY)["embedding"], lambda: api.one(EMBED, QUERY, normalize=True)
        )
    yield Call("OpenAIDocumentEmbedder, InMemoryEmbeddingRetriever", EMBED, lambda: _retrieved(api, key), lambda: QUERY)
    yield Call(
        "HuggingFaceAPIDocumentEmbedder, TEI",
        EMBED,
        lambda: [
            each.embedding
            for each in HuggingFaceAPIDocumentEmbedder(
                api_type="text_embeddings_inference", api_params={"url": f"{api.url}/hf/{api.model(EMBED)}"}, token=key,
                progress_bar=False, normalize=True,
            ).run(_documents())["documents"]
        ],
        lambda: api.own(EMBED, TEXTS, normalize=True),
    )  # fmt: skip
    yield Call(
        "HuggingFaceTEISparseTextEmbedder",
        EMBED,
        lambda: _weights(
            HuggingFaceTEISparseTextEmbedder(api_base_url=f"{api.url}/tei/{api.sparse()}", token=key).run(QUERY)
        ),
        lambda: {str(each["token_id"]): each["weight"] for each in api.named(api.sparse(), EMBED, QUERY)[0]},
    )
    for name, make in _rankers(api, key).items():
        yield Call(
            name,
            RANK,
            lambda make=make: [each.score for each in make().run(query=QUERY, documents=_documents())["documents"]],
            lambda: [each["score"] for each in api.one(RANK, {"query": QUERY, "documents": TEXTS}, top_n=2)],
        )


def _embedders(api: Api, key: Secret) -> dict[str, Callable[[], Any]]:
    return {
        "OpenAITextEmbedder": lambda: OpenAITextEmbedder(
            api_key=key, api_base_url=f"{api.url}/v1", model=api.model(EMBED)
        ),
        "CohereTextEmbedder": lambda: CohereTextEmbedder(key, api_base_url=api.url, model=api.model(EMBED)),
        "JinaTextEmbedder": lambda: JinaTextEmbedder(
            key, base_url=f"{api.url}/v1/embeddings", model=api.model(EMBED), task="retrieval.query"
        ),
        "HuggingFaceAPITextEmbedder, TEI": lambda: HuggingFaceAPITextEmbedder(
            "text_embeddings_inference",
            {"url": f"{api.url}/tei/{api.model(EMBED)}/embed"},
            token=key,
            truncate=True,
            normalize=True,
        ),
        "HuggingFaceAPITextEmbedder, Inference Endpoints": lambda: HuggingFaceAPITextEmbedder(
            "inference_endpoints", {"url": f"{api.url}/hf/{api.model(EMBED)}"}, token=key, normalize=True
        ),
    }


def _rankers(api: Api, key: Secret) -> dict[str, Callable[[], Any]]:
    return {
        "CohereRanker": lambda: CohereRanker(api.model(RANK), api_key=key, api_base_url=api.url, top_k=2),
        "JinaRanker": lambda: JinaRanker(api.model(RANK), key, top_k=2, base_url=f"{api.url}/v1/rerank"),
        "HuggingFaceTEIRanker": lambda: HuggingFaceTEIRanker(
            url=f"{api.url}/tei/{api.model(RANK)}", top_k=2, token=key
        ),
    }


def _retrieved(api: Api, key: Secret) -> str:
    made = OpenAIDocumentEmbedder(
        api_key=key, api_base_url=f"{api.url}/v1", model=api.model(EMBED), progress_bar=False
    ).run(_documents())
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(made["documents"])
    asked = OpenAITextEmbedder(api_key=key, api_base_url=f"{api.url}/v1", model=api.model(EMBED)).run(QUERY)
    found = InMemoryEmbeddingRetriever(store).run(query_embedding=asked["embedding"], top_k=1)
    return str(found["documents"][0].content)


def _documents() -> list[Document]:
    return [Document(content=text) for text in TEXTS]


def _weights(made: dict[str, Any]) -> dict[str, float]:
    found = made["sparse_embedding"]
    return {str(index): value for index, value in zip(found.indices, found.values, strict=True)}


if __name__ == "__main__":
    report("Haystack", version("haystack-ai"), calls(api_of_arguments()))
