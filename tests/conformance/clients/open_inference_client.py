"""The calls of the client that is generated from the specification of the Open Inference Protocol.

Must not know how our routes answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpx
import numpy as np
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.errors import NotFoundError
from open_inference.openapi.types import InferenceRequest

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

TASK = "feature-extraction"
TEXT = "The river rises after the rain."


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    client = OpenInferenceClient(
        base_url=api.url, httpx_client=httpx.Client(headers={"Authorization": f"Bearer {api.key}"})
    )

    def infer() -> Any:
        model, _, head = api.model(TASK).partition(":")
        inputs = [
            {"name": name, "shape": list(values.shape), "datatype": "INT64", "data": values.tolist()}
            for name, values in _arrays(api).items()
        ]
        answer = client.model_infer(model, request=InferenceRequest(inputs=inputs, parameters={"head": head}))
        return answer.outputs[0].data.__root__

    def name() -> str:
        return api.model(TASK).partition(":")[0]

    yield Call("model_infer", TASK, infer, lambda: api.one(TASK, TEXT, normalize=False, pooling="mean"))
    yield Call("read_model_metadata", TASK, lambda: client.read_model_metadata(name()).name, name)
    yield Call("read_server_metadata", "", lambda: client.read_server_metadata().name, lambda: "glossa")
    yield Call(
        "check_server_liveness, check_server_readiness, check_model_readiness",
        "",
        lambda: [
            client.check_server_liveness(), client.check_server_readiness(), client.check_model_readiness(name()),
        ],
        lambda: [None, None, None],
    )  # fmt: skip
    yield Call(
        "errors: NotFoundError",
        TASK,
        lambda: raised(lambda: client.check_model_readiness("nope"), NotFoundError, "no model 'nope'"),
        lambda: True,
    )


def _arrays(api: Api) -> dict[str, Any]:
    ids = np.array([api.tokens(TEXT, TASK, special=True)], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


if __name__ == "__main__":
    report("open-inference-openapi", version("open-inference-openapi"), calls(api_of_arguments()))
