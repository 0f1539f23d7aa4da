"""The calls of KServe's SDK. Must not know how our routes answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

TASK = "feature-extraction"
TEXT = "The river rises after the rain."


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    headers = {"Authorization": f"Bearer {api.key}"}

    def asked(run: Callable[[InferenceRESTClient], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
                return await run(client)

        return asyncio.run(whole())

    def infer(*, binary: bool, name: str | None = None) -> Any:
        model, _, head = api.model(TASK).partition(":")
        inputs = []
        for tensor, values in _arrays(api).items():
            inputs.append(InferInput(tensor, list(values.shape), "INT64"))
            inputs[-1].set_data_from_numpy(values, binary_data=binary)
        request = InferRequest(model, inputs, parameters={"head": head, "binary_data_output": binary})
        return asked(lambda client: client.infer(api.url, request, model_name=name or model, headers=dict(headers)))

    for binary in (False, True):
        yield Call(
            f"InferenceRESTClient.infer, {'binary' if binary else 'JSON'}",
            TASK,
            lambda binary=binary: infer(binary=binary).outputs[0].as_numpy().reshape(-1).tolist(),
            lambda: api.one(TASK, TEXT, normalize=False, pooling="mean"),
        )
    yield Call(
        "is_server_live, is_server_ready, is_model_ready",
        "",
        lambda: [
            asked(lambda client: client.is_server_live(api.url, headers=headers)),
            asked(lambda client: client.is_server_ready(api.url, headers=headers)),
            asked(lambda client: client.is_model_ready(api.url, api.model(TASK).partition(":")[0], headers=headers)),
        ],
        lambda: [True, True, True],
    )
    yield Call(
        "errors: HTTPStatusError",
        TASK,
        lambda: raised(lambda: infer(binary=False, name="nope"), httpx.HTTPStatusError, "no model 'nope'"),
        lambda: True,
    )


def _arrays(api: Api) -> dict[str, Any]:
    ids = np.array([api.tokens(TEXT, TASK, special=True)], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


if __name__ == "__main__":
    report("KServe's SDK", version("kserve"), calls(api_of_arguments()))
