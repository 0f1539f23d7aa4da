"""Requests that put a text into every place of a body that takes one: of each task, the tokenizers, and other routes.

Must not know which texts are hostile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from functions.http.openapi_document import OPERATIONS
from functions.tasks.registry import TASKS
from tests.unit.functions.http.bodies import BODIES

Sent = tuple[str, dict[str, Any]]
_NAMED = {"multiple-choice": "choices", "rerank": "documents", "sentence-similarity": "sentences"}
# Parameters that hold words of the caller.
_WORDS: dict[str, tuple[str, ...]] = {
    "fill-mask": ("targets",),
    "token-classification": ("ignore_labels",),
    "zero-shot-classification": ("candidate_labels", "hypothesis_template"),
    "feature-extraction": ("prompt_name",),
    "sentence-similarity": ("prompt_name",),
}


def of_tasks(text: str) -> Iterator[Sent]:
    """Yield path and body of each request of a task, and of the tokenizers."""
    for task in TASKS:
        usual = BODIES[task]["inputs"]
        given = dict(BODIES[task].get("parameters", {}))
        for inputs in _inputs(task, usual, text):
            yield f"/v1/{task}", {"inputs": inputs, "parameters": given}
        for name in _WORDS.get(task, ()):
            yield f"/v1/{task}", {"inputs": usual, "parameters": given | {name: text}}
        yield f"/v1/{task}", {"inputs": usual, "parameters": given, "model": text}
    yield "/v1/tokenize", {"inputs": [text, {"text": text, "text_pair": text}]}


def of_others(text: str) -> Iterator[Sent]:
    """Yield path and body of requests made of the examples of every other route: the text in each place in turn."""
    for operation in OPERATIONS:
        if "<" not in operation.path and operation.path.removeprefix("/v1/") not in TASKS:
            for example in operation.examples.values():
                for body in _with(example, text):
                    yield operation.path, body


def encoded(body: object) -> str:
    """Return a body as JSON. Half of a surrogate pair is an escape there, as a caller could send it."""
    return json.dumps(body, ensure_ascii=True)


def _inputs(task: str, usual: Any, text: str) -> Iterator[Any]:
    if isinstance(usual, str):
        yield text
        yield [text, usual, text]
        if task == "fill-mask":
            yield f"{text} <mask> {text}"
        return
    for name in usual:
        yield usual | {name: [text, *usual[name]] if name == _NAMED.get(task) else text}
    yield usual | {"lang": text}


def _with(value: Any, text: str) -> Iterator[Any]:
    """Yield a value with the text in the place of each of its texts in turn."""
    if isinstance(value, str):
        yield text
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: each} for each in _with(part, text))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from ([*value[:i], each, *value[i + 1 :]] for each in _with(part, text))
