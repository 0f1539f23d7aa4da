"""Vectors of a source sentence and of others -> their cosines. Must not know how texts are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import mul

from functions.tasks.feature_extraction import pool, unit
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, by_part, per_window
from functions.tasks.schemas.sentence_similarity import Parameters
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `vectors` [windows, width]."""
    del parameters, target_ids
    return {"vectors": per_window}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[float]:
    """Return the cosine of each sentence with the source, in the sentences' order.

    The vector of a long text is made of its windows' as in feature-extraction.
    """
    del item
    source, *others = [
        unit(pool(mine, [answer["vectors"][0] for answer in theirs], asked.parameters.pooling))
        for mine, theirs in by_part(windows, answers)
    ]
    return [sum(map(mul, source, other)) for other in others]
