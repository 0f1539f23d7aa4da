"""Vectors of windows or tokens -> one vector, or one per token, of the whole text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from functions.pipeline.assemble.rows import Answer, Asked, Unit, Vector, per_token, per_window
from functions.pipeline.assemble.text_classification import mean
from functions.pipeline.schemas.feature_extraction import Parameters
from shared.messages import TextInput, Window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `vectors` [windows, width], or [tokens, width] per token."""
    del target_ids
    return {"vectors": per_token if parameters.per_token else per_window}


def value(
    asked: Asked[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> Vector | list[Vector]:
    """Return the mean of the windows' vectors weighted by their tokens, or the tokens' own vectors.

    Per token, a long text reads as if it were one window: special tokens only at its very ends.
    """
    del item
    finish = unit if asked.parameters.normalize else list
    if asked.parameters.per_token:
        return [finish(vector) for vector in _token_vectors(windows, answers)]
    weights = [len(window.input_ids) for window in windows]
    return finish(mean([answer["vectors"][0] for answer in answers], weights))


def unit(vector: Vector) -> Vector:
    """Return the vector scaled to length 1; a zero vector stays as it is."""
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else vector


def _token_vectors(windows: Sequence[Window], answers: Sequence[Answer]) -> Iterator[Vector]:
    last = len(windows) - 1
    for i, (window, answer) in enumerate(zip(windows, answers, strict=True)):
        content = [k for k, special in enumerate(window.special) if not special]
        start = 0 if i == 0 else content[0]
        stop = len(window.special) if i == last else content[-1] + 1
        yield from answer["vectors"][start:stop]
