"""Logits of windows -> labels with scores. Must not know tokens or where logits came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import mul

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, Vector, per_window
from functions.tasks.schemas.text_classification import Parameters
from shared.catalog import Head
from shared.errors import ReplicaError
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `logits` [windows, labels]."""
    del parameters, target_ids
    return {"logits": per_window}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[dict[str, object]]:
    """Return the `top_k` labels, best first: scores of windows averaged by their content tokens."""
    del item
    apply = FUNCTIONS[_function(asked.parameters, asked.head)]
    weights = [window.n_content_tokens for window in windows]
    scores = mean([apply(answer["logits"][0]) for answer in answers], weights)
    labels = asked.head.labels
    if len(labels) != len(scores):
        raise ReplicaError(
            f"got {len(scores)} logits from the model server, expected {len(labels)}, one for each label"
        )
    best = sorted(zip(labels, scores, strict=True), key=lambda pair: -pair[1])[: asked.parameters.top_k]
    return [{"label": label, "score": score} for label, score in best]


def softmax(logits: Vector) -> Vector:
    """Return probabilities that sum to 1, in double precision; no logit is too large."""
    most = max(logits)
    raised = [math.exp(logit - most) for logit in logits]
    total = math.fsum(raised)
    return [part / total for part in raised]


def sigmoid(logits: Vector) -> Vector:
    """Return one probability per logit; no logit is too large or too small."""
    return [1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) for x in logits]


def mean(vectors: Sequence[Vector], weights: Sequence[float]) -> Vector:
    """Return the weighted mean of vectors of one length; a single vector is returned as it is."""
    if len(vectors) == 1:
        return vectors[0]
    total = sum(weights)
    return [sum(map(mul, column, weights)) / total for column in zip(*vectors, strict=True)]


def _as_it_is(logits: Vector) -> Vector:
    return logits


FUNCTIONS: Mapping[str, Callable[[Vector], Vector]] = {"none": _as_it_is, "sigmoid": sigmoid, "softmax": softmax}


def _function(parameters: Parameters, head: Head) -> str:
    """Return the function's name; for `default` the rule of transformers' pipeline."""
    if parameters.function_to_apply != "default":
        return parameters.function_to_apply
    if head.problem_type == "regression":
        return "none"
    if head.problem_type == "multi_label_classification" or len(head.labels) == 1:
        return "sigmoid"
    return "softmax"
