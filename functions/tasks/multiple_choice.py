"""One logit for each choice -> choices with probabilities, best first. Must not know how texts are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, per_window
from functions.tasks.schemas.multiple_choice import Parameters
from functions.tasks.text_classification import softmax
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `logits` [windows, 1]."""
    del parameters, target_ids
    return {"logits": per_window}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[dict[str, object]]:
    """Return each choice with its index and the softmax over the choices' logits, best first."""
    del asked, windows
    scores = softmax([answer["logits"][0][0] for answer in answers])
    best = sorted(enumerate(scores), key=lambda pair: -pair[1])
    return [{"index": index, "choice": item.texts[index], "score": score} for index, score in best]
