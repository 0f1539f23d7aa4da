"""The calls of `tritonclient` over HTTP, sync and async. Must not know how our routes answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

TASK = "text-classification"
TEXTS = ["The river rises after the rain.", "Das Wasser steigt."]
Arrays = Mapping[str, Any]


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    client = triton.InferenceServerClient(api.url.removeprefix("http://"))
    # Without Accept, API Gateway passes on binary answers in base64. The client adds to the headers that it is given.
    headers = {"Authorization": f"Bearer {api.key}", "Accept": "*/*"}
    yield from _server(client, headers)
    yield from _about_a_model(api, client, headers)
    yield from _infer(api, client, headers)
    yield Call("aio infer", TASK, lambda: asyncio.run(_infer_async(api, headers)), lambda: _wanted(api))


def _server(client: triton.InferenceServerClient, headers: Arrays) -> Iterator[Call]:
    yield Call("is_server_live, is_server_ready", "", lambda: _both(client, headers), lambda: [True, True])
    yield Call(
        "get_server_metadata",
        "",
        lambda: "classification" in client.get_server_metadata(headers=dict(headers))["extensions"],
        lambda: True,
    )
    yield Call(
        "get_model_repository_index",
        "",
        lambda: {each["state"] for each in client.get_model_repository_index(headers=dict(headers))},
        lambda: {"READY"},
    )
    yield Call(
        "get_inference_statistics of all models",
        "",
        lambda: (
            len(client.get_inference_statistics(headers=dict(headers))["model_stats"])
            == len(client.get_model_repository_index(headers=dict(headers)))
        ),
        lambda: True,
    )


def _both(client: triton.InferenceServerClient, headers: Arrays) -> list[bool]:
    return [client.is_server_live(headers=dict(headers)), client.is_server_ready(headers=dict(headers))]


def _about_a_model(api: Api, client: triton.InferenceServerClient, headers: Arrays) -> Iterator[Call]:
    def name() -> str:
        return api.model(TASK).partition(":")[0]

    yield Call("is_model_ready", TASK, lambda: client.is_model_ready(name(), headers=dict(headers)), lambda: True)
    yield Call(
        "get_model_metadata",
        TASK,
        lambda: client.get_model_metadata(name(), headers=dict(headers))["default_head"],
        lambda: next(iter(api.heads(name()))),
    )
    yield Call(
        "get_model_config",
        TASK,
        lambda: client.get_model_config(name(), headers=dict(headers))["input"][0]["data_type"],
        lambda: "TYPE_INT32",
    )
    yield Call(
        "get_inference_statistics",
        TASK,
        lambda: client.get_inference_statistics(name(), headers=dict(headers))["model_stats"][0]["name"],
        name,
    )
    yield Call(
        "load_model, unload_model: refused, the catalog decides",
        TASK,
        lambda: [
            raised(
                lambda: client.load_model(name(), headers=dict(headers)), InferenceServerException, "the catalog says"
            ),
            raised(
                lambda: client.unload_model(name(), headers=dict(headers)), InferenceServerException, "the catalog says"
            ),
        ],
        lambda: [True, True],
    )
    yield Call(
        "errors: InferenceServerException",
        TASK,
        lambda: raised(
            lambda: client.get_model_metadata("nope", headers=dict(headers)),
            InferenceServerException,
            "no model 'nope'",
        ),
        lambda: True,
    )


def _infer(api: Api, client: triton.InferenceServerClient, headers: Arrays) -> Iterator[Call]:
    def found(**more: Any) -> list[list[float]]:
        head = more.pop("head", None)
        model, _, named = api.model(TASK).partition(":")
        parameters = {"head": head or named} if head != "" else None
        answer = client.infer(model, _inputs(api, triton), headers=dict(headers), parameters=parameters, **more)
        logits: list[list[float]] = answer.as_numpy("logits").tolist()
        return logits

    def classes() -> list[list[str]]:
        wanted = [triton.InferRequestedOutput("logits", binary_data=True, class_count=2)]
        answer = client.infer(
            api.model(TASK).partition(":")[0], _inputs(api, triton), headers=dict(headers), outputs=wanted,
            parameters={"head": api.model(TASK).partition(":")[2]},
        )  # fmt: skip
        return [[text.decode().split(":", 2)[2] for text in row] for row in answer.as_numpy("logits")]

    yield Call("infer, binary", TASK, found, lambda: _wanted(api))
    yield Call(
        "infer, JSON", TASK, lambda: found(outputs=[triton.InferRequestedOutput("logits", binary_data=False)]),
        lambda: _wanted(api),
    )  # fmt: skip
    yield Call("infer without a head: the default", TASK, lambda: found(head=""), lambda: found(head=_first(api)))
    for coding in ("gzip", "deflate"):
        more = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
        yield Call(f"infer, {coding} both ways", TASK, lambda more=more: found(**more), lambda: _wanted(api))
    yield Call(
        "infer, class_count",
        TASK,
        classes,
        lambda: [[each["label"] for each in labels] for labels in api.own(TASK, TEXTS, top_k=2)],
    )
    yield Call(
        "async_infer, priority, timeout, request_id",
        TASK,
        lambda: client.async_infer(
            api.model(TASK).partition(":")[0], _inputs(api, triton), headers=dict(headers), request_id="r-1",
            priority=2, timeout=9_000_000,
        ).get_result().get_response()["id"],
        lambda: "r-1",
    )  # fmt: skip


def _first(api: Api) -> str:
    return next(iter(api.heads(api.model(TASK).partition(":")[0])))


async def _infer_async(api: Api, headers: Arrays) -> list[list[float]]:
    model, _, head = api.model(TASK).partition(":")
    async with triton_aio.InferenceServerClient(api.url.removeprefix("http://")) as client:
        inputs = _inputs(api, triton_aio)
        answer = await client.infer(model, inputs, headers=dict(headers), parameters={"head": head})
        logits: list[list[float]] = answer.as_numpy("logits").tolist()
        return logits


def _inputs(api: Api, kind: Any) -> list[Any]:
    """Return the padded ids of the texts and their mask, as clients of the protocol send them."""
    rows = [api.tokens(text, TASK, special=True) for text in TEXTS]
    width = max(map(len, rows))
    ids = np.array([row + [1] * (width - len(row)) for row in rows], dtype=np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=np.int64)
    made = []
    for name, values in (("input_ids", ids), ("attention_mask", mask)):
        tensor = kind.InferInput(name, list(values.shape), "INT64")
        tensor.set_data_from_numpy(values)
        made.append(tensor)
    return made


def _wanted(api: Api) -> list[list[float]]:
    """Return the logits by our own route."""
    labels = api.heads(api.model(TASK).partition(":")[0])[api.model(TASK).partition(":")[2]]["labels"]
    rows = []
    for found in api.own(TASK, TEXTS, top_k=None, function_to_apply="none"):
        scores = {each["label"]: each["score"] for each in found}
        rows.append([scores[label] for label in labels])
    assert all(math.isfinite(score) for row in rows for score in row)
    return rows


if __name__ == "__main__":
    report("tritonclient (HTTP)", version("tritonclient"), calls(api_of_arguments()))
