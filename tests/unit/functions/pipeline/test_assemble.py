"""Windows are merged into one answer on the caller's own text; bad tensors are the server's fault."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.messages import Result, TextInput, Window
from functions.pipeline.assemble import read_outputs
from functions.pipeline.pipeline import Pipeline
from functions.tasks.feature_extraction import MAX_WEIGHTS, Parameters, outputs
from functions.tasks.parse import parse_parameters
from functions.tasks.postprocessing.scores import mean, sigmoid, softmax, unit
from functions.tasks.registry import TASK_NAMES
from functions.tasks.task import TextRequest
from functions.tasks.token_classification import borders
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Model
from shared.errors import NotFinite, ReplicaError, TooLarge
from shared.messages import InferCall, ModelOutput, Tensor
from tests.unit.functions.tokenizers.tiny import LABELS, SENTENCES, catalog_model

LONG = " ".join(SENTENCES)
vectors = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=12)


def number(token: int, label: int) -> float:
    """Return a logit that depends on the token alone."""
    return math.sin(token * 12.9898 + label * 78.233) * 4


def read_tokens(calls: Sequence[InferCall]) -> list[ModelOutput]:
    """Answer by a model without context: the logits of a token are its own."""
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


def ask(model: Model, tokenizer: Tokenizer, task: str, infer: Any, **parameters: object) -> Result:
    """Send the long text through the pipeline."""
    pipeline = Pipeline(Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer})
    return pipeline.run(TextRequest(task, (TextInput(LONG),), parse_parameters(task, parameters)), infer)


def large(model: Model) -> Model:
    """Return the same model with room for the long text in one window."""
    return model.model_copy(update={"max_tokens": 8192})


@pytest.mark.parametrize("strategy", ["none", "simple"])
def test_entities_do_not_show_where_the_windows_were(model: Model, tokenizer: Tokenizer, strategy: str) -> None:
    """For a model without context, many overlapping windows give exactly the entities of one large window."""
    task = "token-classification"
    cut = ask(model, tokenizer, task, read_tokens, aggregation_strategy=strategy)
    whole = ask(large(model), tokenizer, task, read_tokens, aggregation_strategy=strategy)
    assert cut.n_windows[0] > 5
    assert whole.n_windows == (1,)
    assert cut.values == whole.values
    assert cut.truncated == (False,)
    found: Any = cut.values[0]
    assert all(LONG[entity["start"] : entity["end"]] for entity in found)


def test_each_token_is_judged_where_it_is_most_central() -> None:
    """The border lies amid the overlap: at a word's beginning near the middle, or in the very middle."""

    def window(start: int, n: int, *, spaced: bool) -> Window:
        step = 2 if spaced else 1
        offsets = tuple(((start + i) * step, (start + i) * step + 1) for i in range(n))
        return Window(0, (0,) * (n + 2), ((0, 0), *offsets, (0, 0)), (True, *(False,) * n, True), start=start)

    assert borders([window(0, 10, spaced=True), window(4, 10, spaced=True)]) == [7, 14]
    assert borders([window(0, 10, spaced=False), window(4, 10, spaced=False)]) == [7, 14]
    assert borders([window(0, 10, spaced=True), window(10, 5, spaced=True)]) == [10, 15]
    assert borders([window(0, 10, spaced=True)]) == [10]


def test_a_word_is_judged_by_one_window() -> None:
    """Where a word begins near the middle of an overlap, the border moves there."""
    spans = [(i, i + 1) for i in range(10)]
    spans[5] = (6, 7)  # a gap before token 5
    first = Window(0, (0,) * 12, ((0, 0), *spans, (0, 0)), (True, *(False,) * 10, True), start=0)
    second = Window(0, (0,) * 8, ((0, 0), *spans[4:], (0, 0)), (True, *(False,) * 6, True), start=4)
    assert borders([first, second]) == [5, 10]


def test_token_vectors_of_a_long_text_read_as_one_window(model: Model, tokenizer: Tokenizer) -> None:
    """Per token, windows leave no seam and no inner special tokens."""
    task = "feature-extraction"
    cut = ask(model, tokenizer, task, read_tokens, per_token=True)
    assert cut.values == ask(large(model), tokenizer, task, read_tokens, per_token=True).values


def test_windows_are_averaged_by_their_tokens(model: Model, tokenizer: Tokenizer) -> None:
    """Probabilities of windows weigh as many content tokens as the windows hold; vectors, all their tokens."""

    def rows(calls: Sequence[InferCall]) -> list[ModelOutput]:
        name = "vectors" if calls[0].head == "embed" else "logits"
        return [
            ModelOutput(
                {name: Tensor.floats([float(i == r % 5) * 3 for r in range(c.n_rows) for i in range(5)], (c.n_rows, 5))}
            )
            for c in calls
        ]

    sizes = []
    classified = ask(model, tokenizer, "text-classification", rows, top_k=None)
    n_tokens = len(tokenizer.encode(LONG).ids)
    per_window = -(-n_tokens // classified.n_windows[0])
    sizes = [min(per_window, n_tokens - start) for start in range(0, n_tokens, per_window)]
    high, low = softmax([3.0, 0, 0, 0, 0])[:2]
    expected = [sum(size * (high if r % 5 == i else low) for r, size in enumerate(sizes)) / n_tokens for i in range(5)]
    scores = {label: score for value in classified.values for label, score in [(v["label"], v["score"]) for v in value]}  # type: ignore[attr-defined]  # a list of dicts
    assert [scores[label] for label in LABELS] == pytest.approx(expected)
    [vector] = ask(model, tokenizer, "feature-extraction", rows).values
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
def test_tensors_that_do_not_fit_are_the_servers_fault(
    model: Model, tokenizer: Tokenizer, outputs: dict[str, Tensor], message: str
) -> None:
    """A missing, short, long, narrow or broken tensor is a 502, never a wrong answer."""
    with pytest.raises((ReplicaError, NotFinite), match=message):
        ask(model, tokenizer, "text-classification", lambda calls: [ModelOutput(outputs) for _ in calls])


@given(logits=vectors)
def test_softmax_is_a_distribution_in_the_order_of_its_logits(logits: list[float]) -> None:
    """Probabilities sum to one and rank as the logits do, however large these are."""
    found = softmax(logits)
    assert math.fsum(found) == pytest.approx(1)
    assert all(found[i] <= found[j] for i in range(len(logits)) for j in range(len(logits)) if logits[i] <= logits[j])


@given(logits=vectors)
def test_sigmoid_is_symmetric(logits: list[float]) -> None:
    """A probability and that of the opposite logit sum to one, however large the logit is."""
    opposite = sigmoid([-x for x in logits])
    assert all(a + b == pytest.approx(1) for a, b in zip(sigmoid(logits), opposite, strict=True))


@given(vector=vectors, weight=st.floats(0.5, 100))
def test_a_mean_of_the_same_is_the_same(vector: list[float], weight: float) -> None:
    """Averaging copies of a vector changes nothing, whatever their weights."""
    assert mean([vector, vector], [weight, 1.0]) == pytest.approx(vector, abs=1e-6)


@given(vector=vectors)
def test_a_unit_vector_has_length_one(vector: list[float]) -> None:
    """A vector is scaled to length one; a zero vector stays zero."""
    length = math.sqrt(sum(x * x for x in unit(vector)))
    assert length == pytest.approx(1) or not any(vector)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_catalogs_tasks_are_all_served(task: str) -> None:
    """A tiny model with a head for each task has one for each task of the catalog: none is forgotten."""
    assert task in catalog_model(1000).tasks


def test_attention_weights_are_counted_before_they_are_made() -> None:
    """Weights past the bound of one request are a 413, said before a window's are made into numbers of Python."""
    read = outputs(Parameters(attentions=True), ())
    windows = [Window(row, (0, 1), ((0, 0),) * 2, (True,) * 2) for row in range(3)]
    sizes = [MAX_WEIGHTS // 2, MAX_WEIGHTS // 2, 1]
    inferred = ModelOutput({
        "vectors": Tensor.floats([0.5] * 3, (3, 1)),
        "attention_sizes": Tensor.ints(sizes, (3, 1)),
        "attentions": Tensor("FP32", (sum(sizes),), memoryview(bytes(4 * sum(sizes)))),
    })  # fmt: skip
    found = read_outputs(read, windows, [inferred])
    assert [len(next(found)["attentions"]) for _ in range(2)] == sizes[:2]
    with pytest.raises(TooLarge, match="got 200001 attentions, at most 200000 in one request"):
        next(found)
