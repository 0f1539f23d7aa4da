"""One good request of each task, as its users would spell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BODIES: Mapping[str, Mapping[str, Any]] = {
    "feature-extraction": {"inputs": "The river rises."},
    "fill-mask": {"inputs": "The river <mask> rises."},
    "multiple-choice": {"inputs": {"prompt": "The river rises.", "choices": ["It rained.", "It is dry.", "A cat."]}},
    "question-answering": {"inputs": {"question": "What rises?", "context": "After the rain, the river rises."}},
    "rerank": {"inputs": {"query": "high water", "documents": ["The river rises.", "A cat.", "Das Wasser steigt."]}},
    "sentence-similarity": {"inputs": {"source_sentence": "The river rises.", "sentences": ["Water.", "A cat."]}},
    "text-classification": {"inputs": "The river rises."},
    "text-generation": {"inputs": "The river"},
    "token-classification": {"inputs": "The river Rhine rises in Basel."},
    "zero-shot-classification": {
        "inputs": "The river rises.",
        "parameters": {"candidate_labels": ["weather", "sports", "politics"]},
    },
}

LONG = {"question-answering": "context"}


def good(task: str, inputs: Any = None, **parameters: Any) -> dict[str, Any]:
    """Return the good request of a task, with other inputs or more parameters."""
    usual = BODIES[task]
    return {
        "inputs": usual["inputs"] if inputs is None else inputs,
        "parameters": {**usual.get("parameters", {}), **parameters},
    }


def spelled(task: str, text: str) -> Any:
    """Return a good input of a task whose own text, the one that may be long, is `text`."""
    usual = BODIES[task]["inputs"]
    return text if isinstance(usual, str) else {**usual, LONG.get(task, next(iter(usual))): text}
