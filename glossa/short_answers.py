"""Says an answer of a task in a few words, for people: for tables, and for the demonstration of the local stack.

It reads values as the API returns them. Must not know models, files or terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

SHOWN_NUMBERS = 3  # of a vector
MAX_SHOWN = 5  # of a list


def short_answer(task: str, value: Any) -> str:
    """Return the answer to one input in a few words. An unknown task's answer is shown as it is."""
    return SHORT[task](value) if task in SHORT else str(value)


def _several(value: Any, show: Callable[[Mapping[str, Any]], str]) -> str:
    """Show one object, or the first of a list of them."""
    items = value if isinstance(value, list) else [value]
    shown = ", ".join(map(show, items[:MAX_SHOWN]))
    return shown + (f", … ({len(items)})" if len(items) > MAX_SHOWN else "")


def _labels(value: Any) -> str:
    return _several(value, lambda each: f"{each['label']} {each['score']:.2f}")


def _zero_shot(value: Mapping[str, Any]) -> str:
    pairs = list(zip(value["labels"], value["scores"], strict=True))
    return ", ".join(f"{label} {score:.2f}" for label, score in pairs[:MAX_SHOWN])


def _entities(value: Sequence[Mapping[str, Any]]) -> str:
    named = [f"{each.get('entity_group', each.get('entity'))} {each['word']} {each['score']:.2f}" for each in value]
    return ", ".join(named) or "no names"


def _spans(value: Any) -> str:
    return _several(value, lambda each: f"{each['answer'] or 'no answer'} {each['score']:.2f}")


def _choices(value: Any) -> str:
    return _several(value, lambda each: f"{each['choice']} {each['score']:.2f}")


def _masks(value: Any) -> str:
    """Show the guesses of each mask. With several masks the value is a list of lists."""
    masks = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    return " / ".join(_several(mask, lambda each: f"{each['token_str']} {each['score']:.2f}") for mask in masks)


def _texts(value: Any) -> str:
    return _several(value, lambda each: str(each["generated_text"]).replace("\n", " "))


def _vectors(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(value)
    if value and isinstance(value[0], Mapping):
        return _several(value, lambda each: f"{each['token']} {each['weight']:.2f}")
    if value and isinstance(value[0], list):
        return f"{len(value)} vectors of {len(value[0])} numbers"
    return f"{len(value)} numbers: {', '.join(f'{number:.3f}' for number in value[:SHOWN_NUMBERS])}, …"


def _scores(value: Sequence[float]) -> str:
    return ", ".join(f"{score:.2f}" for score in value)


def _ranking(value: Sequence[Mapping[str, Any]]) -> str:
    return _several(list(value), lambda each: f"document {each['index']} {each['score']:.2f}")


SHORT: Mapping[str, Callable[[Any], str]] = {
    "feature-extraction": _vectors,
    "fill-mask": _masks,
    "multiple-choice": _choices,
    "question-answering": _spans,
    "rerank": _ranking,
    "sentence-similarity": _scores,
    "text-classification": _labels,
    "text-generation": _texts,
    "token-classification": _entities,
    "zero-shot-classification": _zero_shot,
}
