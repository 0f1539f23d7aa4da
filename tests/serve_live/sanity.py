"""What an answer of each task must be, whatever the weights: probabilities, offsets in texts, labels of the head.

A new task gets one function here. Must not know how the answer was made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.catalog import Head

TOLERANCE = 1e-4  # of sums of probabilities
Check = Callable[[Any, Any, Mapping[str, Any], Head], bool]


def is_sane(task: str, item: Any, parameters: Mapping[str, Any], head: Head, value: Any) -> bool:
    """Say whether `value` can be what `head` answers to one input of `task`."""
    return CHECKS[task](item, value, parameters, head)


def _classes(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    scores = [found["score"] for found in value]
    shares = len(head.labels) == 1 or math.isclose(sum(scores), 1.0, abs_tol=TOLERANCE)
    return {found["label"] for found in value} == set(head.labels) and _is_ranked(scores) and shares


def _candidates(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    whole = math.isclose(sum(value["scores"]), 1.0, abs_tol=TOLERANCE)
    return sorted(value["labels"]) == sorted(parameters["candidate_labels"]) and _is_ranked(value["scores"]) and whole


def _entities(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    text = item if isinstance(item, str) else item["text"]
    places = [(found["start"], found["end"]) for found in value]
    inside = all(0 <= start < end <= len(text) for start, end in places)
    known = all(_plain(one["word"]) == _plain(text[one["start"] : one["end"]]) for one in value)
    return bool(value) and inside and known and places == sorted(places)


def _answers(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    found = value if isinstance(value, list) else [value]
    told = all(one["answer"] == item["context"][one["start"] : one["end"]] for one in found)
    return 1 <= len(found) <= parameters["top_k"] and told and _is_ranked([one["score"] for one in found])


def _choices(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    scores = value["scores"] if isinstance(value, Mapping) else [found["score"] for found in value]
    return len(scores) == len(item["choices"]) and math.isclose(sum(scores), 1.0, abs_tol=TOLERANCE)


def _masks(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    ranked = all(len(mask) == parameters["top_k"] and _is_ranked([one["score"] for one in mask]) for mask in value)
    return len(value) == 2 and ranked and all(one["token_str"] is not None for mask in value for one in mask)


def _continued(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    text = item if isinstance(item, str) else item["text"]
    return len(value) == 1 and value[0]["generated_text"].startswith(text)


def _vectors(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    numbers = list(_numbers(value))
    return (
        set(value) == {"vectors", "hidden_states", "attentions"} and bool(numbers) and all(map(math.isfinite, numbers))
    )


def _similarities(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    same = [cosine for cosine, text in zip(value, item["sentences"], strict=True) if text == item["source_sentence"]]
    return all(-1 - TOLERANCE <= cosine <= 1 + TOLERANCE for cosine in value) and all(
        cosine > 1 - TOLERANCE for cosine in same
    )


def _ranking(item: Any, value: Any, parameters: Mapping[str, Any], head: Head) -> bool:
    told = all(item["documents"][one["index"]] in str(one) for one in value)
    indices = sorted(one["index"] for one in value)
    return indices == list(range(len(item["documents"]))) and told and _is_ranked([one["score"] for one in value])


CHECKS: Mapping[str, Check] = {
    "text-classification": _classes,
    "zero-shot-classification": _candidates,
    "token-classification": _entities,
    "question-answering": _answers,
    "multiple-choice": _choices,
    "fill-mask": _masks,
    "text-generation": _continued,
    "feature-extraction": _vectors,
    "sentence-similarity": _similarities,
    "rerank": _ranking,
}


def _is_ranked(scores: Sequence[float]) -> bool:
    """Say whether these are probabilities, best first."""
    return all(0 <= score <= 1 + TOLERANCE for score in scores) and list(scores) == sorted(scores, reverse=True)


def _plain(text: str) -> str:
    """Return a text without what may be lost when tokens are put together: spaces, and with XLM also capitals."""
    return "".join(text.casefold().split())


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list):
        return [number for part in value for number in _numbers(part)]
    if isinstance(value, Mapping):
        return _numbers(list(value.values()))
    return [float(value)]
