"""Logits of a text beside each label's hypothesis -> the labels with scores. Must not know how texts are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, Vector, by_part, per_window
from functions.tasks.schemas.zero_shot_classification import Parameters, entailment
from functions.tasks.text_classification import mean, softmax
from shared.errors import ReplicaError
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `logits` [windows, labels]."""
    del parameters, target_ids
    return {"logits": per_window}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> dict[str, object]:
    """Return `sequence`, `labels` and `scores`, best first, as transformers' pipeline does.

    Its rules: scores are a softmax over the labels' entailment logits; with `multi_label`, and for a single label,
    over entailment and contradiction (the first column, or the last when entailment is first) of each label.
    Windows stand at the same places for all labels; their scores are averaged by the tokens of the text in them.
    """
    parts = list(by_part(windows, answers))
    logits = [[_checked(asked, answer["logits"][0]) for answer in theirs] for _, theirs in parts]
    weights = [max(1, window.sequence_ids.count(0)) for window in parts[0][0]]
    entails = entailment(asked.head.labels) or 0
    if asked.parameters.multi_label or len(parts) == 1:
        contradicts = -1 if entails == 0 else 0
        each = [[softmax([row[contradicts], row[entails]])[1] for row in rows] for rows in logits]
        scores = [mean([[score] for score in label], weights)[0] for label in each]
    else:
        scores = mean([softmax([row[entails] for row in rows]) for rows in zip(*logits, strict=True)], weights)
    best = sorted(zip(asked.parameters.candidate_labels, scores, strict=True), key=lambda pair: -pair[1])
    return {
        "sequence": item.text,
        "labels": [label for label, _ in best],
        "scores": [score for _, score in best],
    }


def _checked(asked: AnswerContext[Parameters], logits: Vector) -> Vector:
    if len(logits) != len(asked.head.labels):
        raise ReplicaError(
            f"got {len(logits)} logits from the model server, expected {len(asked.head.labels)}, one for each label"
        )
    return logits
