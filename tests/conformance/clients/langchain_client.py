"""The calls of LangChain through the routes of other ecosystems, on a small retrieval task.

Must not know how our routes answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from langchain_cohere import CohereEmbeddings, CohereRerank
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

EMBED, RANK = "feature-extraction", "rerank"
QUERY = "The river rises."
DOCUMENTS = ["A cat sleeps.", "The river rises.", "Das Wasser steigt im Fluss."]


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    makers: dict[str, Callable[[], Any]] = {
        "OpenAIEmbeddings": lambda: OpenAIEmbeddings(
            base_url=f"{api.url}/v1", api_key=api.key, model=api.model(EMBED), check_embedding_ctx_length=False
        ),
        "CohereEmbeddings": lambda: CohereEmbeddings(
            base_url=api.url, cohere_api_key=api.key, model=api.model(EMBED), user_agent="langchain"
        ),
    }
    for name, make in makers.items():
        yield Call(
            f"{name}, similarity_search",
            EMBED,
            lambda make=make: (
                InMemoryVectorStore.from_texts(DOCUMENTS, make()).similarity_search(QUERY, k=1)[0].page_content
            ),
            lambda: QUERY,
        )
    yield Call(
        "HuggingFaceEndpointEmbeddings: takes no address",
        EMBED,
        lambda: raised(
            lambda: HuggingFaceEndpointEmbeddings(model=f"{api.url}/hf/{api.model(EMBED)}"), ValueError, "not a URL"
        ),
        lambda: True,
    )

    def reranked() -> Any:
        ranker = CohereRerank(base_url=api.url, cohere_api_key=api.key, model=api.model(RANK), top_n=2)
        found = ranker.compress_documents([Document(text) for text in DOCUMENTS], QUERY)
        return [each.metadata["relevance_score"] for each in found]

    yield Call(
        "CohereRerank.compress_documents",
        RANK,
        reranked,
        lambda: [each["score"] for each in api.one(RANK, {"query": QUERY, "documents": DOCUMENTS}, top_n=2)],
    )


if __name__ == "__main__":
    report("LangChain", version("langchain-core"), calls(api_of_arguments()))
