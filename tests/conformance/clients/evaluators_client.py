"""The evaluators of MTEB and sentence-transformers over vectors that the API makes, on a small real retrieval task.

MTEB has models of its own for APIs like OpenAI's; the task is a subclass of its abstract task, which is how it takes
data that are not on the Hub. An evaluator of sentence-transformers takes any object with the methods of a model. Must
not know how our routes answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llama_index.core
import mteb
import torch
from datasets import Dataset
from mteb.abstasks import AbsTaskRetrieval
from mteb.models import OpenAIAPIEncodeWrapper, OpenAIAPIRerankWrapper
from mteb.models.model_implementations.openai_models import OpenAIModel
from openai import OpenAI
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import cos_sim

from tests.conformance.clients.calls import Api, Call, NoModelError, api_of_arguments, raised, report
from tests.conformance.clients.retrieval_task import corpus, queries, relevant

EMBED, RANK = "feature-extraction", "rerank"
MAX_TOKENS = 8191  # of OpenAI's tokenizer, after which MTEB cuts a text
N_RANKED = 5  # documents that a ranker puts in order for each query
# MTEB cuts texts by OpenAI's tokenizer. LlamaIndex brings its file, so that nothing is fetched.
os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache")


class Encoder:
    """What an evaluator of sentence-transformers needs of a model. `embed` makes vectors of texts."""

    similarity_fn_name = "cosine"
    similarity = staticmethod(cos_sim)
    model_card_data = SimpleNamespace(set_evaluation_metrics=lambda *_: None)

    def __init__(self, embed: Callable[[list[str]], Sequence[Sequence[float]]]) -> None:
        self._embed = embed

    def encode(self, sentences: Sequence[str], **_: Any) -> torch.Tensor:
        """Return the vectors of texts."""
        return torch.tensor(self._embed(list(sentences)))

    encode_query = encode_document = encode


class Paragraphs(AbsTaskRetrieval):
    """The task as MTEB has it. With `ranked`, a ranker puts the first documents in order."""

    metadata = mteb.TaskMetadata(
        name="Paragraphs", description="Paragraphs and their translations.", type="Retrieval", main_score="ndcg_at_10",
        dataset={"path": "none", "revision": "1"}, eval_langs=["eng-Latn", "fra-Latn"], eval_splits=["test"],
    )  # fmt: skip
    ranked = False

    def load_data(self, **_: Any) -> None:
        """Take the texts from this checkout."""
        documents, wanted = corpus(), relevant()
        split = {
            "corpus": Dataset.from_list([{"id": name, "text": text} for name, text in documents.items()]),
            "queries": Dataset.from_list([{"id": name, "text": text} for name, text in queries().items()]),
            "relevant_docs": {query: {document: 1} for query, document in wanted.items()},
            "top_ranked": None,
        }
        if self.ranked:
            split["top_ranked"] = {query: _candidates(document) for query, document in wanted.items()}
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def _candidates(document: str) -> list[str]:
    """Return the documents that are ranked for a query: the right one, and those behind it."""
    names = list(corpus())
    start = names.index(document)
    return (names + names)[start : start + N_RANKED]


def mteb_calls(api: Api) -> Iterator[Call]:
    """Yield the calls of MTEB."""

    def evaluated(model: Any, task: Any, score: str) -> float:
        found = mteb.evaluate(model, task, cache=None, show_progress_bar=False)
        return float(found.task_results[0].scores["test"][0][score])

    def by_openai_model() -> float:
        width = len(api.one(EMBED, "a"))
        client = OpenAI(base_url=f"{api.url}/v1", api_key=api.key)
        model = OpenAIModel(api.model(EMBED), MAX_TOKENS, embed_dim=width, client=client)
        return evaluated(model, Paragraphs(), "ndcg_at_10")

    def by_wrapper() -> float:
        model = OpenAIAPIEncodeWrapper(_open(api), api.model(EMBED), modalities=["text"], use_chat_template=False)
        return evaluated(model, Paragraphs(), "ndcg_at_10")

    def ranked() -> float:
        task = Paragraphs()
        task.ranked = True
        return evaluated(OpenAIAPIRerankWrapper(_open(api), api.model(EMBED), modalities=["text"]), task, "accuracy")

    def wanted() -> float:
        return evaluate(api, "own")["cosine_ndcg@10"]

    yield Call("OpenAIModel, a retrieval task", EMBED, by_openai_model, wanted)
    yield Call("OpenAIAPIEncodeWrapper, a retrieval task (Auth=none)", EMBED, by_wrapper, wanted)
    yield Call("OpenAIAPIRerankWrapper, a ranking task (Auth=none)", RANK, ranked, lambda: _share_ranked_first(api))
    yield Call(
        "OpenAIAPIEncodeWrapper: asks for the models without its key",
        EMBED,
        lambda: raised(lambda: OpenAIAPIEncodeWrapper(api.url, api.model(EMBED), api.key), ConnectionError, "401"),
        lambda: True,
    )


def sentence_transformers_calls(api: Api) -> Iterator[Call]:
    """Yield the calls of sentence-transformers."""
    yield Call(
        "InformationRetrievalEvaluator over openai's embeddings.create",
        EMBED,
        lambda: evaluate(api, "openai"),
        lambda: evaluate(api, "own"),
    )


@cache
def evaluate(api: Api, by: str) -> Mapping[str, float]:
    """Return all metrics of the task, with vectors of our own route or through the client of OpenAI."""
    client = OpenAI(base_url=f"{api.url}/v1", api_key=api.key)
    embeds: dict[str, Callable[[list[str]], Sequence[Sequence[float]]]] = {
        "own": lambda texts: api.own(EMBED, texts, normalize=True),
        "openai": lambda texts: [
            each.embedding for each in client.embeddings.create(model=api.model(EMBED), input=texts).data
        ],
    }
    wanted = {query: {document} for query, document in relevant().items()}
    evaluator = InformationRetrievalEvaluator(dict(queries()), dict(corpus()), wanted, show_progress_bar=False)
    found: Mapping[str, float] = evaluator(Encoder(embeds[by]))
    return found


def _share_ranked_first(api: Api) -> float:
    """Return the share of queries whose document our own route ranks first, by vectors, which take any length."""
    texts, documents = queries(), corpus()
    hits = 0
    for query, document in relevant().items():
        candidates = _candidates(document)
        asked = {"query": texts[query], "documents": [documents[name] for name in candidates]}
        hits += candidates[api.named(api.model(EMBED), RANK, asked, top_n=1)[0][0]["index"]] == document
    return hits / len(texts)


def _open(api: Api) -> str:
    """Return the address of the API that takes everyone. Raises NoModelError when there is none."""
    if api.open_url is None:
        raise NoModelError("no address that takes everyone is known")
    return api.open_url


if __name__ == "__main__":
    served = api_of_arguments()
    report("MTEB", version("mteb"), mteb_calls(served))
    report("sentence-transformers", version("sentence-transformers"), sentence_transformers_calls(served))
