"""The windows of a text become one answer. Tensors that do not fit are an error of the model server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from functions.messages import Result, TextInput
from functions.pipeline.pipeline import Pipeline
from functions.tasks.parse import parse_parameters
from functions.tasks.postprocessing.scores import softmax
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Model
from shared.errors import NotFinite, ReplicaError
from shared.messages import InferCall, ModelOutput, Tensor
from tests.unit.functions.tokenizers.tiny import LABELS, SENTENCES

LONG = " ".join(SENTENCES)


def number(token: int, label: int) -> float:
    """Return a logit that depends on the token alone."""
    return math.sin(token * 12.9898 + label * 78.233) * 4


def infer_tokens(calls: Sequence[InferCall]) -> list[ModelOutput]:
    """Answer as a model without context: the numbers of a token depend on that token alone."""
    width = len(LABELS)
    name = "vectors" if calls[0].head == "embed" else "logits"
    return [
        ModelOutput(
            {
                name: Tensor.floats(
                    [number(token, i) for token in call.input_ids.int_values() for i in range(width)],
                    (call.n_tokens, width),
                )
            }
        )
        for call in calls
    ]


def run_long_text(model: Model, tokenizer: Tokenizer, task: str, infer: Any, **parameters: object) -> Result:
    """Send the long text through the pipeline."""
    pipeline = Pipeline(Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer})
    return pipeline.run(TextRequest(task, (TextInput(LONG),), parse_parameters(task, parameters)), infer)


def large(model: Model) -> Model:
    """Return the same model with windows that hold the whole long text."""
    return model.model_copy(update={"max_tokens": 8192})


@pytest.mark.parametrize("strategy", ["none", "simple"])
def test_entities_do_not_show_where_the_windows_were(model: Model, tokenizer: Tokenizer, strategy: str) -> None:
    """For a model without context, many overlapping windows give exactly the entities of one large window."""
    task = "token-classification"
    cut = run_long_text(model, tokenizer, task, infer_tokens, aggregation_strategy=strategy)
    whole = run_long_text(large(model), tokenizer, task, infer_tokens, aggregation_strategy=strategy)
    assert cut.n_windows[0] > 5
    assert whole.n_windows == (1,)
    assert cut.values == whole.values
    assert cut.truncated == (False,)
    found: Any = cut.values[0]
    assert all(LONG[entity["start"] : entity["end"]] for entity in found)


def test_token_vectors_of_a_long_text_read_as_one_window(model: Model, tokenizer: Tokenizer) -> None:
    """The token vectors of many windows equal those of one large window, without inner special tokens."""
    task = "feature-extraction"
    cut = run_long_text(model, tokenizer, task, infer_tokens, per_token=True)
    assert cut.values == run_long_text(large(model), tokenizer, task, infer_tokens, per_token=True).values


def test_windows_are_averaged_by_their_tokens(model: Model, tokenizer: Tokenizer) -> None:
    """Probabilities of windows are weighted by their content tokens, and vectors by all their tokens."""

    def rows(calls: Sequence[InferCall]) -> list[ModelOutput]:
        name = "vectors" if calls[0].head == "embed" else "logits"
        return [
            ModelOutput(
                {name: Tensor.floats([float(i == r % 5) * 3 for r in range(c.n_rows) for i in range(5)], (c.n_rows, 5))}
            )
            for c in calls
        ]

    sizes = []
    classified = run_long_text(model, tokenizer, "text-classification", rows, top_k=None)
    n_tokens = len(tokenizer.encode(LONG).ids)
    per_window = -(-n_tokens // classified.n_windows[0])
    sizes = [min(per_window, n_tokens - start) for start in range(0, n_tokens, per_window)]
    high, low = softmax([3.0, 0, 0, 0, 0])[:2]
    expected = [sum(size * (high if r % 5 == i else low) for r, size in enumerate(sizes)) / n_tokens for i in range(5)]
    scores = {label: score for value in classified.values for label, score in [(v["label"], v["score"]) for v in value]}  # type: ignore[attr-defined]  # a list of dicts
    assert [scores[label] for label in LABELS] == pytest.approx(expected)
    [vector] = run_long_text(model, tokenizer, "feature-extraction", rows).values
    total = n_tokens + 2 * len(sizes)
    assert vector == pytest.approx(
        [sum((s + 2) * 3 * (r % 5 == i) for r, s in enumerate(sizes)) / total for i in range(5)]
    )


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, r"got \[\] from the model server, expected 'logits'"),
        ({"logits": Tensor.floats([0.0] * 5, (1, 5))}, "too few rows of 'logits'"),
        ({"logits": Tensor.floats([0.0] * 5000, (1000, 5))}, "rows of 'logits' more than asked"),
        ({"logits": Tensor.floats([0.0] * 120, (40, 3))}, "got 3 logits from the model server, expected 5"),
        ({"logits": Tensor.floats([float("nan")] * 5000, (1000, 5))}, "not a number"),
    ],
)
def test_tensors_that_do_not_fit_are_an_error_of_the_server(
    model: Model, tokenizer: Tokenizer, outputs: dict[str, Tensor], message: str
) -> None:
    """A missing, short, long, narrow or broken tensor is a 502, never a wrong answer."""
    with pytest.raises((ReplicaError, NotFinite), match=message):
        run_long_text(model, tokenizer, "text-classification", lambda calls: [ModelOutput(outputs) for _ in calls])
