"""A sample of what schemathesis makes of the OpenAPI document: no server error, no answer that the document lacks.

`make conformance` runs all of it.
"""

from __future__ import annotations

from pathlib import Path

from tests.contract.http_server import serving
from tests.contract.run_schemathesis import run_schemathesis
from tests.contract.whole_api import WholeApi

# One of each kind: a task, a body in two forms, a job, another ecosystem, tensors.
BOUNDS = ("/v1/fill-mask", "/v1/rerank", "/v1/jobs", "/v1/embeddings", "/v2/models/{model}/infer")


def test_every_operation_keeps_to_the_document(tmp_path: Path) -> None:
    """Each gets its examples and some made-up requests, the same every time."""
    with serving(WholeApi()) as url:
        status, said = run_schemathesis(url, tmp_path, n_examples=2, phases="examples,fuzzing")
    assert status == 0, said[-20_000:]


def test_the_bounds_of_some_operations_are_held(tmp_path: Path) -> None:
    """What is just inside and just outside each bound, each missing field, each other type and method."""
    with serving(WholeApi()) as url:
        status, said = run_schemathesis(url, tmp_path, n_examples=1, phases="coverage", paths=BOUNDS)
    assert status == 0, said[-20_000:]
