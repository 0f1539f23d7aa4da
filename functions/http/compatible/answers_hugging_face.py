"""Answers the requests of clients of Hugging Face: for the task that the body fits, or for a named one.

Must not know paths, nor how bodies are read or answers are written.
"""

from __future__ import annotations

from urllib.parse import unquote

from functions.http.compatible import hugging_face
from functions.http.compatible.service import Service
from functions.tasks.parse import task_named
from functions.tasks.registry import TASKS


def infer(service: Service, model: str) -> object:
    """Answer the only task that the body fits."""
    body = hugging_face.HuggingFaceBody.model_validate(service.body())
    found, tasks = hugging_face.head_tasks(unquote(model), service.pipeline.catalog)
    return _inferred(service, hugging_face.choose_task(body, found, tasks), body, model)


def infer_task(service: Service, model: str, task: str) -> object:
    """Answer the task of the path. The path may be one of another method."""
    if task not in TASKS:
        service.caller()
        service.api.refuse_other_methods()
        task_named(task)  # raises before the body is read
    return _inferred(service, task, hugging_face.HuggingFaceBody.model_validate(service.body()), model)


def _inferred(service: Service, task: str, body: hugging_face.HuggingFaceBody, model: str) -> object:
    result = service.ask(task, hugging_face.request(task, body, unquote(model)))
    return service.api.ok(hugging_face.answer(task, body, result))
