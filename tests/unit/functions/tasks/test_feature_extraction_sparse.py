"""A sparse head answers with the largest weight of each token, without special tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head, Model
from shared.errors import Unprocessable
from shared.messages import InferCall, ModelOutput, Tensor
from tests.unit.functions.task_requests import LONG, run_request

SPARSE = Head(task="feature-extraction", variant="sparse", prefix="sparse_linear")


def _weight(token_id: int, place: int) -> float:
    return ((token_id * 7 + place) % 5) / 4


def _weights(calls: Sequence[InferCall]) -> list[ModelOutput]:
    """Answer each token with a weight made of its id and its place in the call."""
    ids = [call.input_ids.int_values().tolist() for call in calls]
    return [ModelOutput({"token_weights": Tensor.floats(_weight(t, i) for i, t in enumerate(own))}) for own in ids]


@pytest.fixture
def weighing(model: Model) -> Model:
    """Return the tiny model with a sparse head."""
    return model.model_copy(update={"heads": {**model.heads, "sparse": SPARSE}})


@pytest.mark.parametrize("text", ["Alle Menschen </s> sind alle Menschen <s><unk>", LONG])
def test_each_token_has_its_largest_weight(text: str, weighing: Model, tokenizer: Tokenizer) -> None:
    """The pairs are those of FlagEmbedding, over all windows: no special tokens, no zeros, the heaviest first."""
    seen: list[int] = []

    def answer(calls: Sequence[InferCall]) -> list[ModelOutput]:
        seen.extend(i for call in calls for i in call.input_ids.int_values().tolist())
        return _weights(calls)

    body = {"inputs": [text], "model": "tiny:sparse"}
    [value] = run_request(weighing, tokenizer, body, "feature-extraction", answer).values
    assert isinstance(value, list)
    unused = {tokenizer.id_of(piece) for piece in ("<s>", "</s>", "<pad>", "<unk>")}
    expected: dict[int, float] = {}
    for place, token_id in enumerate(seen):
        weight = _weight(token_id, place)
        if token_id not in unused and weight > expected.get(token_id, 0):
            expected[token_id] = weight
    assert {pair["token_id"]: pair["weight"] for pair in value} == expected
    assert [(-pair["weight"], pair["token_id"]) for pair in value] == sorted((-w, i) for i, w in expected.items())
    assert [pair["token"] for pair in value] == tokenizer.pieces(pair["token_id"] for pair in value)


@pytest.mark.parametrize(
    "parameters", [{"pooling": "max"}, {"per_token": True}, {"layers": 0}, {"dimensions": 8}, {"precision": "int8"}]
)
def test_what_only_vectors_have_is_refused(
    parameters: Mapping[str, Any], weighing: Model, tokenizer: Tokenizer
) -> None:
    """The error names the parameter and the head."""
    body = {"inputs": "a", "model": "tiny:sparse", "parameters": parameters}
    with pytest.raises(Unprocessable, match=f"parameters.{next(iter(parameters))}: got .* for head tiny:sparse"):
        run_request(weighing, tokenizer, body, "feature-extraction", _weights)


def test_an_unnamed_request_gets_vectors(weighing: Model, tokenizer: Tokenizer) -> None:
    """The sparse head answers only by name; it reranks for nobody."""
    assert weighing.head_for("feature-extraction", None) == "embed"
    also = SPARSE.model_copy(update={"also": ("rerank",)})
    wrong = weighing.model_copy(update={"heads": {"sparse": also}})
    body = {"inputs": {"query": "a", "documents": ["b"]}}
    with pytest.raises(Unprocessable, match="head tiny:sparse answers with weights of tokens"):
        run_request(wrong, tokenizer, body, "rerank", _weights)
