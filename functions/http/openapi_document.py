"""The OpenAPI page of the whole API. `python -m functions.http.openapi_document` prints it.

Joins the operations of all API functions. Must not answer requests.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from functions.http.compatible import operations as compatible_operations
from functions.http.openapi import jobs_operations, text_operations, v2_operations
from functions.http.openapi.page import page

SHARED = "/v1/rerank"
OURS = [compatible_operations.with_cohere(each) if each.path == SHARED else each for each in text_operations.OPERATIONS]
OPERATIONS = (
    *OURS,
    *v2_operations.OPERATIONS,
    *compatible_operations.OPERATIONS,
    *jobs_operations.OPERATIONS,
)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of every route."""
    return page(OPERATIONS)


def served(prefix: str) -> dict[str, Any]:
    """Return the document as it is served: with the address where it lies, as its path before the routes, first."""
    here = {"url": prefix or "/", "description": "where this document lies"}
    return document() | {"servers": [here, *document()["servers"]]}


def routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of every route."""
    return ((operation.method, operation.path) for operation in OPERATIONS)


if __name__ == "__main__":  # python -m functions.http.openapi_document > docs/openapi.json
    sys.stdout.write(json.dumps(document(), indent=2, sort_keys=True) + "\n")
