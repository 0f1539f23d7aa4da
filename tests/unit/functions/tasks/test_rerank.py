"""Rerank scores each document of a query, by a logit or by the vectors of an embedder."""

from __future__ import annotations

import math

import pytest

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import Unprocessable
from tests.unit.functions.task_requests import LONG, Numbers, infer_rows, run_request


def test_documents_rank_by_their_best_window(model: Model, tokenizer: Tokenizer) -> None:
    """The best window of a long document decides. Scores are sigmoids, or logits on request."""
    special = tokenizer.encode("Menschen").ids[0]
    body = {"inputs": {"query": "a", "documents": ["b", LONG + " Menschen", "c"]}}
    numbers: Numbers = lambda ids: {"logits": [2.0 if special in ids else -1.0 - ids[5] / 1e5]}  # noqa: E731 - one line is enough
    [value] = run_request(model, tokenizer, body, "rerank", infer_rows(numbers)).values
    assert isinstance(value, list)
    assert value[0] == {"index": 1, "score": pytest.approx(1 / (1 + math.exp(-2)))}
    assert len(value) == 3
    top = body | {"parameters": {"top_n": 1, "return_documents": True, "function_to_apply": "none"}}
    [best] = run_request(model, tokenizer, top, "rerank", infer_rows(numbers)).values
    assert best == [{"index": 1, "score": 2.0, "document": LONG + " Menschen"}]


def _embedder(model: Model) -> Model:
    embed = model.heads["embed"].model_copy(update={"also": ("sentence-similarity", "rerank"), "default": True})
    return model.model_copy(update={"heads": {"embed": embed}})


@pytest.mark.parametrize("document", ["b c d", LONG])
def test_an_embedder_ranks_by_cosine(document: str, model: Model, tokenizer: Tokenizer) -> None:
    """Query and documents are read alone. The scores are those of sentence-similarity, best first."""
    numbers: Numbers = lambda ids: {"vectors": [1.0, float(len(ids)), float(ids[1] % 7)]}  # noqa: E731 - one line is enough
    embedder, infer = _embedder(model), infer_rows(numbers)
    body = {"inputs": {"query": "a", "documents": [document, "a", "Menschen"]}}
    result = run_request(embedder, tokenizer, body | {"parameters": {"return_documents": True}}, "rerank", infer)
    pair = {"inputs": {"source_sentence": "a", "sentences": [document, "a", "Menschen"]}}
    [similar] = run_request(embedder, tokenizer, pair, "sentence-similarity", infer).values
    [value] = result.values
    assert isinstance(value, list)
    assert isinstance(similar, list)
    assert result.head == "embed"
    assert value[0] == {"index": 1, "score": pytest.approx(1.0), "document": "a"}
    assert {entry["index"]: entry["score"] for entry in value} == dict(enumerate(similar))
    assert [entry["score"] for entry in value] == sorted(similar, reverse=True)


def test_cosines_have_no_sigmoid(model: Model, tokenizer: Tokenizer) -> None:
    """An embedder refuses a sigmoid, and takes `none`."""
    body = {"inputs": {"query": "a", "documents": ["a"]}, "parameters": {"function_to_apply": "sigmoid"}}
    with pytest.raises(Unprocessable, match="got sigmoid for head tiny:embed, expected default or none"):
        run_request(_embedder(model), tokenizer, body, "rerank", infer_rows(lambda _: {"vectors": [1.0]}))
