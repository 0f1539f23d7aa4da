"""Where a replica encodes its answers: the event loop never waits for a large one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from serve.engine.fake import FakeEngine
from serve.replica import INLINE_BYTES, Replica
from shared.catalog import Model
from tests.unit.serve.engine.engines import WideEngine

FEW, MANY = 4096, 2 * INLINE_BYTES
IDS = {"name": "input_ids", "datatype": "INT32", "shape": [1], "data": [5]}
PACKED = [IDS, {**IDS, "name": "row_lengths", "data": [1]}]
PADDED = [{**IDS, "shape": [1, 1]}, {**IDS, "name": "attention_mask", "shape": [1, 1], "data": [1]}]


@pytest.mark.parametrize(
    ("n_bytes", "inputs", "binary", "outputs", "is_inline"),
    [
        (FEW, PACKED, True, None, True),
        (FEW, PACKED, False, [True], True),
        (MANY, PACKED, True, None, False),
        (FEW, PACKED, False, None, False),
        (FEW, PACKED, True, [False], False),
        (FEW, PADDED, True, None, False),
    ],
    ids=["small", "small by name", "large", "JSON", "JSON by name", "padded"],
)
def test_only_small_packed_binary_answers_are_encoded_on_the_event_loop(
    model: Model, n_bytes: int, inputs: object, outputs: list[bool] | None, *, binary: bool, is_inline: bool
) -> None:
    """Another thread encodes answers that are large, padded, or in JSON as a whole or in one output."""
    engine = WideEngine(model, n_bytes)
    replica = Replica(model, lambda: engine)
    asked: dict[str, Any] = {"inputs": inputs, "parameters": {"head": "topic", "binary_data_output": binary}}
    if outputs:
        asked["outputs"] = [{"name": "logits", "parameters": {"binary_data": flag}} for flag in outputs]

    async def whole() -> None:
        await replica.infer({}, json.dumps(asked).encode())
        await replica.drain()

    asyncio.run(whole())
    assert (engine.readers == {"MainThread"}) is is_inline


@pytest.mark.parametrize(
    ("head", "parameters", "dimensions"),
    [("entities", {}, 3), ("embed", {"per_token": True}, 3), ("embed", {}, 2), ("topic", {}, 2)],
)
def test_rows_of_one_token_are_padded_by_what_the_head_answers(
    model: Model, head: str, parameters: dict[str, Any], dimensions: int
) -> None:
    """When each row has one token, an output per token still has the shape [rows, width, ...]."""
    ids = {**IDS, "shape": [2, 2], "data": [5, 1, 6, 1]}
    asked = {
        "inputs": [ids, {**ids, "name": "attention_mask", "data": [1, 0, 1, 0]}],
        "parameters": {"head": head, **parameters},
    }
    replica = Replica(model, lambda: FakeEngine(model))

    async def whole() -> list[int]:
        body = await replica.infer({}, json.dumps(asked).encode())
        await replica.drain()
        shape: list[int] = json.loads(body.data)["outputs"][0]["shape"]
        return shape

    shape = asyncio.run(whole())
    assert len(shape) == dimensions
    assert shape[: dimensions - 1] == [2, 2][: dimensions - 1]
