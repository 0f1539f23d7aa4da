"""The calls of LlamaIndex through the routes of other ecosystems, on a small retrieval task.

Must not know how our routes answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.cohere import CohereEmbedding
from llama_index.embeddings.huggingface_api import HuggingFaceInferenceAPIEmbedding
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

EMBED, RANK = "feature-extraction", "rerank"
QUERY = "The river rises."
DOCUMENTS = ["A cat sleeps.", "The river rises.", "Das Wasser steigt im Fluss."]


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    for name, make in _embedders(api).items():
        yield Call(f"{name}, VectorStoreIndex", EMBED, lambda make=make: _retrieved(make()), lambda: QUERY)
    yield Call(
        "CohereEmbedding: takes names of Cohere's own models alone",
        EMBED,
        lambda: raised(lambda: CohereEmbedding(model_name=api.model(EMBED)), ValueError, "not a valid model name"),
        lambda: True,
    )
    yield Call(
        "HuggingFaceInferenceAPIEmbedding.aget_query_embedding",
        EMBED,
        lambda: asyncio.run(_by_inference_api(api)),
        lambda: api.one(EMBED, QUERY),
    )
    for name, make in _rankers(api).items():
        yield Call(
            name,
            RANK,
            lambda make=make: [each.score for each in make().postprocess_nodes(_nodes(), query_str=QUERY)],
            lambda: [each["score"] for each in api.one(RANK, {"query": QUERY, "documents": DOCUMENTS}, top_n=2)],
        )


def _embedders(api: Api) -> dict[str, Callable[[], Any]]:
    return {
        "OpenAIEmbedding": lambda: OpenAIEmbedding(
            model_name=api.model(EMBED), api_base=f"{api.url}/v1", api_key=api.key
        ),
        "TextEmbeddingsInference": lambda: TextEmbeddingsInference(
            model_name=api.model(EMBED), base_url=f"{api.url}/tei/{api.model(EMBED)}", auth_token=api.key
        ),
    }


async def _by_inference_api(api: Api) -> list[float]:
    """Return a vector. Its other methods start an event loop for each call, and fail with the second one."""
    vectors = HuggingFaceInferenceAPIEmbedding(
        model_name=f"{api.url}/hf/{api.model(EMBED)}", token=api.key, pooling=None
    )
    return await vectors.aget_query_embedding(QUERY)


def _rankers(api: Api) -> dict[str, Callable[[], Any]]:
    return {
        "TextEmbeddingInference (rerank)": lambda: TeiRerank(
            model_name=api.model(RANK), base_url=f"{api.url}/tei/{api.model(RANK)}", top_n=2,
            auth_token=f"Bearer {api.key}",
        ),
        "CohereRerank": lambda: CohereRerank(model=api.model(RANK), base_url=api.url, api_key=api.key, top_n=2),
        "JinaRerank": lambda: JinaRerank(model=api.model(RANK), base_url=f"{api.url}/v1", api_key=api.key, top_n=2),
    }  # fmt: skip


def _retrieved(vectors: Any) -> str:
    index = VectorStoreIndex.from_documents([Document(text=text) for text in DOCUMENTS], embed_model=vectors)
    return str(index.as_retriever(similarity_top_k=1).retrieve(QUERY)[0].text)


def _nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]


if __name__ == "__main__":
    report("LlamaIndex", version("llama-index-core"), calls(api_of_arguments()))
