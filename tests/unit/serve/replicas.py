"""A replica through its HTTP side in this process, and calls for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from starlette.types import ASGIApp

from serve.engine.engine import Engine
from serve.engine.fake import FakeEngine
from serve.http.callers import no_check
from serve.replica import Replica, Timeouts
from serve.scheduling.health import HealthTimes
from shared.catalog import Model
from shared.messages import InferCall, Tensor
from shared.protocol import encode_call
from tests.unit.serve.asgi import Reply, call
from tests.unit.serve.engine.engines import LIMIT_S

PREFIX = "/v2/models/toy"
SHORT = Timeouts(  # a health check always runs a probe, and waits briefly
    answer_s=LIMIT_S, health=HealthTimes(check_s=0.05, probe_s=0.05, fresh_s=-1.0)
)

Test = Callable[[Replica, ASGIApp], Coroutine[Any, Any, None]]


def toy_model() -> Model:
    """Make a model with one head for each task. It takes 32 tokens a row and has 100 token ids."""
    heads = {
        "topic": {"task": "text-classification", "prefix": "classifier", "labels": ["a", "b", "c"], "default": True},
        "entities": {"task": "token-classification", "prefix": "heads.entities", "labels": ["O", "B-X"]},
        "mlm": {"task": "fill-mask", "prefix": "lm_head"},
        "qa": {"task": "question-answering", "prefix": "qa_outputs"},
        "choice": {"task": "multiple-choice", "prefix": "heads.choice"},
        "embed": {"task": "feature-extraction"},
    }
    return Model.model_validate({
        "name": "toy", "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "0" * 64,
        "tokenizer_sha256": "0" * 64, "max_tokens": 32, "vocab_size": 100, "token_budget": 64, "heads": heads,
    })  # fmt: skip


def run_with_replica(
    model: Model, test: Test, load: Callable[[], Engine] | None = None, timeouts: Timeouts | None = None
) -> None:
    """Run a test against a replica, and drain the replica afterwards."""
    replica = Replica(model, load or (lambda: FakeEngine(model)), timeouts=timeouts, verifier=no_check)

    async def whole() -> None:
        await test(replica, replica.__serve_build_asgi_app__())
        await replica.drain()

    asyncio.run(whole())


def packed(rows: Sequence[Sequence[int]], head: str = "topic", **fields: Any) -> InferCall:
    """Return a call of rows of ids, in packed form."""
    flat = [i for row in rows for i in row]
    return InferCall("toy", head, Tensor.ints(flat), Tensor.ints(map(len, rows)), **fields)


async def send_call(app: ASGIApp, asked: InferCall, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a call to the replica in binary form."""
    body = encode_call(asked)
    return await call(app, "POST", "/infer", body=body.data, headers={**body.headers, **(headers or {})}, prefix=PREFIX)


async def post(app: ASGIApp, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a body to the replica: bytes as they are, other values as JSON."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return await call(app, "POST", "/infer", body=data, headers=headers, prefix=PREFIX)


async def until(is_so: Callable[[], bool]) -> None:
    """Let others run until a condition is true, at most 10 s."""
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the condition did not become true")


def padded(ids: list[list[int]], head: str = "topic", **parameters: Any) -> dict[str, Any]:
    """Return the JSON of a call of rows of one width, in padded form."""
    shape = [len(ids), len(ids[0])]
    mask = [1] * (shape[0] * shape[1])
    return {
        "parameters": {"head": head, **parameters},
        "inputs": [
            {"name": "input_ids", "datatype": "INT64", "shape": shape, "data": ids},
            {"name": "attention_mask", "datatype": "INT64", "shape": shape, "data": mask},
        ],
    }
