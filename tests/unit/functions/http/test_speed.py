"""What a slow server cannot do in time is refused before it is tried."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.http.text_routes import make_api
from functions.replica.fake import FakeReplica
from shared.catalog import Catalog
from shared.messages import InferCall, ModelOutput
from tests.unit.functions.http.world import catalog, count_ids, pipeline, post

TEXTS = ["some words to read " * 60] * 400  # about 100,000 tokens


def believed(tokens_per_s: float) -> Catalog:
    """Return the catalog with another speed of mini."""
    known = catalog().models
    mini = known["mini"].model_copy(update={"tokens_per_s": tokens_per_s})
    return catalog().model_copy(update={"models": {**known, "mini": mini}})


@pytest.mark.parametrize(
    ("measured", "status"), [(1000.0, 413), (100_000.0, 200), (None, 200)], ids=["slow", "fast", "unknown"]
)
def test_the_speed_of_the_server_decides(measured: float | None, status: int) -> None:
    """By what it measures, not by the catalog: a 413 with a job that would do, and no call; unknown, the catalog's."""
    called: list[InferCall] = []

    def answer(call: InferCall) -> ModelOutput:
        called.append(call)
        return count_ids(call)

    desks = replace(pipeline(), catalog=believed(16_000.0), now_s=lambda: 0.0)
    api = make_api(desks, FakeReplica(answer, measured_tokens_per_s=measured), "none", clock=lambda: 0.0)
    found, body, _ = post(api, "text-classification", {"inputs": TEXTS})
    assert (found, bool(called)) == (status, status == 200)
    if status == 413:
        assert "at 1000 tokens/s" in body["detail"]
        assert "POST /v1/jobs" in body["hint"]
