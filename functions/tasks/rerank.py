"""One logit for each window of each document -> documents in order. Must not know how texts are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, Vector, by_part, per_window
from functions.tasks.schemas.rerank import Parameters
from functions.tasks.text_classification import sigmoid
from shared.errors import ReplicaError
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `logits` [windows, 1]."""
    del parameters, target_ids
    return {"logits": per_window}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[dict[str, object]]:
    """Return the `top_n` documents by score, best first; equals keep their order.

    A document counts as much as its best window (MaxP; Dai and Callan, 2019).
    """
    logits = [max(_only(answer["logits"][0]) for answer in theirs) for _, theirs in by_part(windows, answers)]
    scores = logits if asked.parameters.function_to_apply == "none" else sigmoid(logits)
    best = sorted(range(len(scores)), key=lambda index: -logits[index])[: asked.parameters.top_n]
    found: list[dict[str, object]] = [{"index": index, "score": scores[index]} for index in best]
    if asked.parameters.return_documents:
        return [{**entry, "document": item.texts[index]} for entry, index in zip(found, best, strict=True)]
    return found


def _only(logits: Vector) -> float:
    if len(logits) != 1:
        raise ReplicaError(f"got {len(logits)} logits from the model server, expected 1 to rank by")
    return logits[0]
