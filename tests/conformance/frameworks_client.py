"""The calls of LangChain, LlamaIndex and Haystack through the routes of other ecosystems, on a small retrieval task.

Must not know how our routes answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from haystack.components.embedders import OpenAITextEmbedder
from haystack.utils import Secret
from langchain_cohere import CohereRerank
from langchain_core.documents import Document as Page
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from llama_index.core import Document as IndexDocument
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank

from tests.conformance.calls import Api, Call, api_of_arguments, report

EMBED, RANK = "feature-extraction", "rerank"
QUERY = "The river rises."
DOCUMENTS = ["A cat sleeps.", "The river rises.", "Das Wasser steigt im Fluss."]


def langchain(api: Api) -> Iterator[Call]:
    """Yield the calls of LangChain."""
    vectors = OpenAIEmbeddings(
        base_url=f"{api.url}/v1", api_key="none", model=api.model(EMBED), check_embedding_ctx_length=False
    )
    yield Call(
        "OpenAIEmbeddings, similarity_search",
        EMBED,
        lambda: InMemoryVectorStore.from_texts(DOCUMENTS, vectors).similarity_search(QUERY, k=1)[0].page_content,
        lambda: QUERY,
    )

    def reranked() -> Any:
        ranker = CohereRerank(base_url=api.url, cohere_api_key="none", model=api.model(RANK), top_n=2)
        found = ranker.compress_documents([Page(text) for text in DOCUMENTS], QUERY)
        return [each.metadata["relevance_score"] for each in found]

    yield Call(
        "CohereRerank.compress_documents",
        RANK,
        reranked,
        lambda: [each["score"] for each in api.one(RANK, {"query": QUERY, "documents": DOCUMENTS}, top_n=2)],
    )


def llama_index(api: Api) -> Iterator[Call]:
    """Yield the calls of LlamaIndex."""

    def retrieved(vectors: Any) -> str:
        documents = [IndexDocument(text=text) for text in DOCUMENTS]
        index = VectorStoreIndex.from_documents(documents, embed_model=vectors)
        return str(index.as_retriever(similarity_top_k=1).retrieve(QUERY)[0].text)

    makers: dict[str, Callable[[], Any]] = {
        "OpenAIEmbedding, VectorStoreIndex": lambda: OpenAIEmbedding(
            model_name=api.model(EMBED), api_base=f"{api.url}/v1", api_key="none"
        ),
        "TextEmbeddingsInference, VectorStoreIndex": lambda: TextEmbeddingsInference(
            model_name=api.model(EMBED), base_url=f"{api.url}/tei/{api.model(EMBED)}"
        ),
    }
    for name, make in makers.items():
        yield Call(name, EMBED, lambda make=make: retrieved(make()), lambda: QUERY)

    def reranked() -> Any:
        ranker = TeiRerank(model_name=api.model(RANK), base_url=f"{api.url}/tei/{api.model(RANK)}", top_n=2)
        nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]
        return [each.score for each in ranker.postprocess_nodes(nodes, query_str=QUERY)]

    yield Call(
        "TextEmbeddingInference (rerank)",
        RANK,
        reranked,
        lambda: [each["score"] for each in api.one(RANK, {"query": QUERY, "documents": DOCUMENTS}, top_n=2)],
    )


def haystack(api: Api) -> Iterator[Call]:
    """Yield the calls of Haystack."""
    key = Secret.from_token("none")
    vectors = OpenAITextEmbedder(api_key=key, api_base_url=f"{api.url}/v1", model=api.model(EMBED))
    yield Call(
        "OpenAITextEmbedder",
        EMBED,
        lambda: vectors.run(QUERY)["embedding"],
        lambda: api.one(EMBED, QUERY, normalize=True),
    )


if __name__ == "__main__":
    served = api_of_arguments()
    report("LangChain", version("langchain-core"), langchain(served))
    report("LlamaIndex", version("llama-index-core"), llama_index(served))
    report("Haystack", version("haystack-ai"), haystack(served))
