"""The JSON of each answer, from results and models of the catalog.

Must not know requests or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.messages import Result
from shared.catalog import Catalog, Head, Model


def result_json(task: str, result: Result) -> dict[str, Any]:
    """Return the answer of `/v1/{task}`: one result for each input. Lists in `usage` follow the order of inputs."""
    return {
        "model": result.model,
        "head": result.head,
        "task": task,
        "results": list(result.values),
        "usage": {
            "n_tokens": list(result.n_tokens),
            "n_windows": list(result.n_windows),
            "truncated": list(result.truncated),
        },
        "timings_ms": timings_ms(result.timings_s),
    }


def timings_ms(timings_s: Mapping[str, float]) -> dict[str, float]:
    """Return stage milliseconds with two decimals."""
    return {stage: round(seconds * 1000, 2) for stage, seconds in timings_s.items()}


def models_json(catalog: Catalog) -> dict[str, Any]:
    """Return the answer of `/v1/models`."""
    return {"default_model": catalog.default_model, "models": [model_json(model) for model in catalog.models.values()]}


def model_json(model: Model) -> dict[str, Any]:
    """Return what a caller may know of a model. Where its weights are stored is not part of it."""
    return {
        "name": model.name,
        "revision": model.revision,
        "family": model.family,
        "lane": model.size_class,  # the old name, kept for callers
        "size_class": model.size_class,
        "dtype": model.dtype,
        "max_tokens": model.max_tokens,
        "vocab_size": model.vocab_size,
        "mask_token": model.mask_token,
        "languages": model.languages,
        "tokenizer_sha256": model.tokenizer_sha256,
        "tasks": sorted(model.tasks),
        "heads": {name: _head_json(head) for name, head in model.heads.items()},
    }


def _head_json(head: Head) -> dict[str, Any]:
    return {"task": head.task, "labels": list(head.labels), "default": head.default}
