"""A request that the model server cannot answer in time is refused before the server is called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.http.authentication import OPEN
from functions.http.text_routes import make_api
from functions.replica.fake import FakeReplica
from shared.catalog import Catalog
from shared.messages import InferCall, ModelOutput
from tests.unit.functions.http.world import catalog, count_ids, pipeline, post

TEXTS = ["some words to read " * 60] * 400  # about 100,000 tokens


def with_speed(tokens_per_s: float) -> Catalog:
    """Return the catalog with another speed of mini."""
    known = catalog().models
    mini = known["mini"].model_copy(update={"tokens_per_s": tokens_per_s})
    return catalog().model_copy(update={"models": {**known, "mini": mini}})


@pytest.mark.parametrize(
    ("measured", "status"), [(1000.0, 413), (100_000.0, 200), (None, 200)], ids=["slow", "fast", "unknown"]
)
def test_the_speed_of_the_server_decides(measured: float | None, status: int) -> None:
    """The measured speed decides, or the catalog's where none is known. A refusal is a 413 that names a batch job."""
    calls: list[InferCall] = []

    def answer(call: InferCall) -> ModelOutput:
        calls.append(call)
        return count_ids(call)

    with_clock = replace(pipeline(), catalog=with_speed(16_000.0), now_s=lambda: 0.0)
    api = make_api(with_clock, FakeReplica(answer, measured_tokens_per_s=measured), OPEN, clock=lambda: 0.0)
    found, body, _ = post(api, "text-classification", {"inputs": TEXTS})
    assert (found, bool(calls)) == (status, status == 200)
    if status == 413:
        assert "at 1000 tokens/s" in body["detail"]
        assert "POST /v1/jobs" in body["hint"]
