"""Lists every scope with the routes that it opens. The policy of a caller is made of this list.

A `*` stands for the rest of a path. docs/authentication.md has the same list, and a test compares them. Must not know
who has which scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from functions.http.authentication import EVERY_TASK, task_scope
from functions.tasks.registry import TASK_NAMES

# Routes of other ecosystems that do one task. TEI has them at the root, and below /tei for a named model.
COMPATIBLE: Mapping[str, tuple[str, ...]] = {
    "feature-extraction": (
        "POST /v1/embeddings",
        "POST /v1/embed",
        "POST /v2/embed",
        "POST /embed*",  # and embed_all, embed_sparse
        "POST /tei/*/embed*",
    ),
    "text-generation": ("POST /v1/completions", "POST /hf/*/v1/completions"),
    "rerank": ("POST /v2/rerank", "POST /rerank", "POST /tei/*/rerank"),
    "text-classification": ("POST /predict", "POST /tei/*/predict"),
    "sentence-similarity": ("POST /similarity", "POST /tei/*/similarity"),
}
# The body says the task there, so the function checks the scope of the task once more.
ANY_TASK = "POST /hf/*"


SCOPES: Mapping[str, tuple[str, ...]] = {
    # the body of an infer call says which head it is for, so one task alone cannot be allowed there
    EVERY_TASK: (
        *(f"POST /v1/{task}" for task in TASK_NAMES),
        *(route for routes in COMPATIBLE.values() for route in routes),
        ANY_TASK,
        "POST /v2/models/*",
    ),
    **{task_scope(task): (f"POST /v1/{task}", *COMPATIBLE.get(task, ()), ANY_TASK) for task in TASK_NAMES},
    "tokens": (
        "POST /v1/tokenize",
        "POST /v1/detokenize",
        "POST /tokenize",
        "POST /decode",
        "POST /tei/*/tokenize",
        "POST /tei/*/decode",
    ),
    "models:read": (
        "GET /v1/models",
        "GET /v1/models/*",
        "GET /v2",
        "GET /v2/models/*",
        "POST /v2/repository/*",
        "GET /info",
        "GET /tei/*/info",
        "GET /hf/*/info",
    ),
    "jobs:read": ("GET /v1/jobs", "GET /v1/jobs/*"),
    "jobs:write": ("POST /v1/jobs", "POST /v1/jobs/*", "DELETE /v1/jobs/*"),
    "recipes:read": ("GET /v1/recipes",),
    "recipes:write": ("POST /v1/recipes", "DELETE /v1/recipes/*"),
}
# no scope is needed for these
EVERY_CALLER = (
    "GET /v1/health",
    "GET /v1/openapi.json",
    "GET /openapi.json",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /health",
    "GET /metrics",
    "GET /tei/*/health",
    "GET /hf/*/health",
)


def routes_of(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the routes that these scopes open together, and those of every caller, each once."""
    opened = [route for scope in scopes for route in SCOPES[scope]]
    return tuple(dict.fromkeys((*EVERY_CALLER, *opened)))


def known_scopes(named: Iterable[str]) -> tuple[str, ...]:
    """Return those of the names that are scopes of ours, sorted. A token may name others, such as `openid`."""
    return tuple(sorted(SCOPES.keys() & set(named)))
