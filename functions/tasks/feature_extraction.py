"""Vectors of windows or tokens -> one vector, or one per token, of the whole text; likewise of layers asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from functions.tasks.postprocessing.output_rows import (
    Answer,
    AnswerContext,
    Counted,
    Unit,
    Vector,
    per_token,
    per_window,
)
from functions.tasks.schemas.feature_extraction import Parameters
from functions.tasks.text_classification import mean
from shared.messages import TextInput, Window

MAX_WEIGHTS = 200_000  # of attention in one request; 24 bytes each in JSON stay below the 5 MB an answer may have
Value = Vector | list[Vector] | dict[str, object]


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensors read: `vectors`, `hidden_states` of each window or token, `attentions` with their sizes."""
    del target_ids
    unit = per_token if parameters.per_token else per_window
    read: dict[str, Unit] = {"vectors": unit}
    if parameters.layers:
        read["hidden_states"] = unit
    if parameters.attentions:
        read |= {"attention_sizes": per_window, "attentions": Counted("attention_sizes", MAX_WEIGHTS)}
    return read


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> Value:
    """Return the text's vector or its tokens' own; an object with them when layers or attentions are asked for.

    Per token, a long text reads as if it were one window: special tokens only at its very ends.
    """
    del item
    wanted = asked.parameters
    vectors = _read(wanted, windows, [answer["vectors"] for answer in answers])
    if not wanted.layers and not wanted.attentions:
        return vectors
    found: dict[str, object] = {"vectors": vectors}
    if wanted.layers:
        of_layers = [_layers(answer["hidden_states"], len(wanted.layers)) for answer in answers]
        found["hidden_states"] = [_read(wanted, windows, rows) for rows in zip(*of_layers, strict=True)]
    if wanted.attentions:
        found["attentions"] = _attentions(len(windows[0].input_ids), answers[0])
    return found


def unit(vector: Vector) -> Vector:
    """Return the vector scaled to length 1; a zero vector stays as it is."""
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else vector


def pool(windows: Sequence[Window], vectors: Sequence[Vector], pooling: str) -> Vector:
    """Make one vector of those of a text's windows: by the rule with which each was made of its tokens."""
    if pooling == "cls":
        return vectors[0]
    if pooling == "max":
        return [max(column) for column in zip(*vectors, strict=True)]
    return mean(vectors, [len(window.input_ids) for window in windows])


def _read(wanted: Parameters, windows: Sequence[Window], rows: Sequence[Sequence[Vector]]) -> Vector | list[Vector]:
    """Read one layer: `rows` of each window."""
    finish = unit if wanted.normalize else list
    if wanted.per_token:
        return [finish(vector) for vector in _of_tokens(windows, rows)]
    return finish(pool(windows, [own[0] for own in rows], wanted.pooling))


def _of_tokens(windows: Sequence[Window], rows: Sequence[Sequence[Vector]]) -> Iterator[Vector]:
    last = len(windows) - 1
    for i, (window, own) in enumerate(zip(windows, rows, strict=True)):
        content = [k for k, special in enumerate(window.special) if not special]
        start = 0 if i == 0 else content[0]
        stop = len(window.special) if i == last else content[-1] + 1
        yield from own[start:stop]


def _layers(rows: Sequence[Vector], n_layers: int) -> list[list[Vector]]:
    """Take rows [layers x width] apart: the rows of each layer."""
    width = len(rows[0]) // n_layers
    return [[row[k * width : (k + 1) * width] for row in rows] for k in range(n_layers)]


def _attentions(n_tokens: int, answer: Answer) -> list[list[list[Vector]]]:
    """Return [layers][heads][tokens][tokens] of the one window a text has."""
    flat = [weight for [weight] in answer["attentions"]]
    tokens = [flat[at : at + n_tokens] for at in range(0, len(flat), n_tokens)]
    heads = [tokens[at : at + n_tokens] for at in range(0, len(tokens), n_tokens)]
    n_heads = len(heads) // len(answer["attention_sizes"][0])
    return [heads[at : at + n_heads] for at in range(0, len(heads), n_heads)]
