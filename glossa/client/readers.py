"""Reads what the API answers into typed values. `BY_TASK` has the reader of each task, for rows of batch jobs.

A field that is not there raises KeyError; fields that are new are passed over. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from glossa.client.values import (
    Answer,
    Choice,
    Entity,
    FilledMask,
    Head,
    Label,
    Model,
    Models,
    RankedDocument,
    Tokens,
    TokenWeight,
    Vector,
)


def labels(value: Any) -> list[Label]:
    """Read labels with scores, the best first."""
    return [Label(each["label"], each["score"]) for each in value]


def named_labels(value: Any) -> list[Label]:
    """Read the labels that the caller named, the best first."""
    return [Label(label, score) for label, score in zip(value["labels"], value["scores"], strict=True)]


def entities(value: Any) -> list[Entity]:
    """Read entities, or tokens with labels, in the order of the text."""
    return [
        Entity(
            each.get("entity_group", each.get("entity")), each["score"], each["word"], each["start"], each["end"],
            each.get("index"),
        )
        for each in value
    ]  # fmt: skip


def answers(value: Any) -> list[Answer]:
    """Read one answer, or several, the best first."""
    many = value if isinstance(value, list) else [value]
    return [Answer(each["answer"], each["score"], each["start"], each["end"]) for each in many]


def filled_masks(value: Any) -> list[list[FilledMask]]:
    """Read the guesses for each mask, the best first; of a single mask, too, there is a list."""
    many = value if value and isinstance(value[0], list) else [value]
    return [
        [
            FilledMask(each["token_str"], each["score"], each["token"], each["sequence"], each.get("piece"))
            for each in one
        ]
        for one in many
    ]


def choices(value: Any) -> list[Choice]:
    """Read choices, the best first."""
    return [Choice(each["choice"], each["score"], each["index"]) for each in value]


def continuations(value: Any) -> list[str]:
    """Read the texts that were generated for a prompt."""
    return [each["generated_text"] for each in value]


def ranked(value: Any) -> list[RankedDocument]:
    """Read documents, the best first."""
    return [RankedDocument(each["index"], each["score"], each.get("document")) for each in value]


def vector(value: Any) -> Vector:
    """Read the vector of a text, or the similarities of sentences."""
    return [float(number) for number in value]


def vectors(value: Any) -> list[Vector]:
    """Read the vectors of the tokens of a text."""
    return [vector(each) for each in value]


def token_weights(value: Any) -> list[TokenWeight]:
    """Read the weights of tokens, the heaviest first."""
    return [TokenWeight(each["token"], each["weight"], each["token_id"]) for each in value]


def tokens(value: Any) -> Tokens:
    """Read the tokens of an input."""
    spans = [(start, end) for start, end in value["offsets"]]
    types, mask = value["token_type_ids"], value["special_tokens_mask"]
    return Tokens(value["ids"], value["tokens"], spans, mask, types, value["n_windows"])


def models(value: Any) -> Models:
    """Read the list of models."""
    return Models(tuple(_model(each) for each in value["models"]), dict(value["defaults"]))


def _model(value: Any) -> Model:
    heads = {
        name: Head(tuple(head["tasks"]), tuple(head["labels"]), head["default"])
        for name, head in value["heads"].items()
    }
    facts = (value["name"], value["revision"], value["family"], value["max_tokens"], value["languages"])
    return Model(*facts, heads)


def as_it_is(value: Any) -> Any:
    """Return a value whose form depends on the parameters."""
    return value


BY_TASK: Mapping[str, Callable[[Any], Any]] = {
    "feature-extraction": as_it_is,
    "fill-mask": filled_masks,
    "multiple-choice": choices,
    "question-answering": answers,
    "rerank": ranked,
    "sentence-similarity": vector,
    "text-classification": labels,
    "text-generation": continuations,
    "token-classification": entities,
    "zero-shot-classification": named_labels,
}
