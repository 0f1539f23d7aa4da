"""The calls of the tasks that work with vectors: each is a flow to a typed result.

Both clients have these functions as methods. `model` is `name` or `name:head`. Must not know the HTTP library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from glossa.client import readers
from glossa.client.answering import called, given_of
from glossa.client.flows import Api, Flow
from glossa.client.inputs import QueryDocuments, SourceSentences, Texts
from glossa.client.values import RankedDocument, Result, TokenWeight, Vector

Pooling = Literal["mean", "cls", "max"]


def feature_extraction(
    api: Api,
    inputs: Texts,
    *,
    model: str | None = None,
    pooling: Pooling | None = None,
    normalize: bool | None = None,
    dimensions: int | None = None,
    prompt_name: str | None = None,
    truncation: bool | None = None,
) -> Flow[Result[Vector]]:
    """Turn each text into a vector. `numpy.array(result)` makes a matrix of them.

    len(client.feature_extraction("The team won.", normalize=True).only)
    """
    given = given_of({
        "pooling": pooling, "normalize": normalize, "dimensions": dimensions, "prompt_name": prompt_name,
        "truncation": truncation,
    })  # fmt: skip
    return called(api, "feature-extraction", inputs, model, given, readers.vector)


def token_vectors(
    api: Api,
    inputs: Texts,
    *,
    model: str | None = None,
    normalize: bool | None = None,
    dimensions: int | None = None,
    prompt_name: str | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[Vector]]]:
    """Turn each token of each text into a vector, special tokens included. The task is feature-extraction.

    len(client.token_vectors("The team won.").only)
    """
    given = given_of({
        "per_token": True, "normalize": normalize, "dimensions": dimensions, "prompt_name": prompt_name,
        "truncation": truncation,
    })  # fmt: skip
    return called(api, "feature-extraction", inputs, model, given, readers.vectors)


def sparse_vectors(
    api: Api, inputs: Texts, *, model: str | None = None, prompt_name: str | None = None, truncation: bool | None = None
) -> Flow[Result[list[TokenWeight]]]:
    """Weigh the tokens of each text with a sparse head, the heaviest first. The task is feature-extraction.

    client.sparse_vectors("The team won.", model="bge:sparse").only[0].token
    """
    given = given_of({"prompt_name": prompt_name, "truncation": truncation})
    return called(api, "feature-extraction", inputs, model, given, readers.token_weights)


def sentence_similarity(
    api: Api,
    inputs: SourceSentences | Sequence[SourceSentences],
    *,
    model: str | None = None,
    pooling: Pooling | None = None,
    prompt_name: str | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[float]]]:
    """Compare a sentence with others by the cosine of their vectors; the result has the order of the others.

    client.sentence_similarity({"source_sentence": "We won.", "sentences": ["Wir haben gewonnen."]}).only[0]
    """
    given = given_of({"pooling": pooling, "prompt_name": prompt_name, "truncation": truncation})
    return called(api, "sentence-similarity", inputs, model, given, readers.vector)


def rerank(
    api: Api,
    inputs: QueryDocuments | Sequence[QueryDocuments],
    *,
    model: str | None = None,
    top_n: int | None = None,
    return_documents: bool | None = None,
    function_to_apply: Literal["default", "none", "sigmoid"] | None = None,
    truncation: bool | None = None,
) -> Flow[Result[list[RankedDocument]]]:
    """Put documents in the order of how well they answer a query.

    client.rerank({"query": "Who won?", "documents": ["Prices rise.", "The team won."]}).only[0].index
    """
    given = given_of({
        "top_n": top_n, "return_documents": return_documents, "function_to_apply": function_to_apply,
        "truncation": truncation,
    })  # fmt: skip
    return called(api, "rerank", inputs, model, given, readers.ranked)
