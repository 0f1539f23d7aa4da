"""The calls of `huggingface_hub.InferenceClient`, sync and async. Must not know how our routes answer."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

TEXT = "The river Rhine rises in Switzerland."
MASKED = "The river <mask> rises."
QUESTION = {"question": "What rises?", "context": "After the rain, the river rises."}
SENTENCES = ["Das Wasser steigt.", "A cat sleeps."]
LABELS = ["weather", "sports"]


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    yield from _labels(api)
    yield from _tokens(api)
    yield from _answers(api)
    yield from _vectors(api)
    yield from _texts(api)
    yield from _endpoint(api)


def _client(api: Api, task: str) -> InferenceClient:
    """Return a client for the head that does a task."""
    return InferenceClient(model=f"{api.url}/hf/{api.model(task)}", provider="hf-inference", api_key=api.key)


def _plain(found: Any) -> Any:
    """Return the fields that the server sent, without those that the client adds as None."""
    if isinstance(found, list):
        return [_plain(each) for each in found]
    return {name: value for name, value in asdict(found).items() if value is not None}


def _labels(api: Api) -> Iterator[Call]:
    task = "text-classification"
    yield Call(
        task.replace("-", "_"),
        task,
        lambda: _plain(_client(api, task).text_classification(TEXT)),
        lambda: api.one(task, TEXT, top_k=None),
    )
    yield Call(
        "text_classification, top_k, function_to_apply",
        task,
        lambda: _plain(_client(api, task).text_classification(TEXT, top_k=2, function_to_apply="sigmoid")),
        lambda: api.one(task, TEXT, top_k=2, function_to_apply="sigmoid"),
    )
    zero = "zero-shot-classification"

    def scored() -> Any:
        found = api.one(zero, TEXT, candidate_labels=LABELS, multi_label=True)
        return [{"label": a, "score": b} for a, b in zip(found["labels"], found["scores"], strict=True)]

    yield Call(
        "zero_shot_classification, multi_label",
        zero,
        lambda: _plain(_client(api, zero).zero_shot_classification(TEXT, LABELS, multi_label=True)),
        scored,
    )


def _tokens(api: Api) -> Iterator[Call]:
    task = "token-classification"
    for strategy in ("simple", "first", "none"):
        more = {"aggregation_strategy": strategy, "ignore_labels": ["B-ORG"]}
        yield Call(
            f"token_classification, {strategy}",
            task,
            lambda more=more: _plain(_client(api, task).token_classification(TEXT, **more)),
            lambda more=more: [{k: v for k, v in each.items() if k != "index"} for each in api.one(task, TEXT, **more)],
        )
    mask = "fill-mask"
    yield Call(
        "fill_mask, top_k",
        mask,
        lambda: [each.token_str for each in _client(api, mask).fill_mask(MASKED, top_k=3)],
        lambda: [each["token_str"] for each in api.one(mask, MASKED, top_k=3)],
    )
    yield Call(
        "fill_mask, targets",
        mask,
        lambda: [each.score for each in _client(api, mask).fill_mask(MASKED, targets=["sun", "water"])],
        lambda: [each["score"] for each in api.one(mask, MASKED, targets=["sun", "water"])],
    )


def _answers(api: Api) -> Iterator[Call]:
    task = "question-answering"
    yield Call(
        "question_answering (one object)",
        task,
        lambda: _plain(_client(api, task).question_answering(**QUESTION)),
        lambda: api.one(task, QUESTION),
    )
    yield Call(
        "question_answering, top_k (a list)",
        task,
        lambda: _plain(_client(api, task).question_answering(**QUESTION, top_k=2, max_answer_len=4)),
        lambda: api.one(task, QUESTION, top_k=2, max_answer_len=4),
    )


def _vectors(api: Api) -> Iterator[Call]:
    task, compared = "feature-extraction", "sentence-similarity"
    inputs = {"source_sentence": TEXT, "sentences": SENTENCES}
    yield Call(
        "feature_extraction",
        task,
        lambda: _client(api, task).feature_extraction(TEXT).tolist(),
        lambda: api.one(task, TEXT),
    )
    yield Call(
        "feature_extraction, a list, normalize, truncate, dimensions",
        task,
        lambda: _client(api, task).feature_extraction(SENTENCES, normalize=True, truncate=True, dimensions=2).tolist(),
        lambda: api.own(task, SENTENCES, normalize=True, truncation=True, dimensions=2),
    )
    yield Call(
        "sentence_similarity",
        compared,
        lambda: _client(api, compared).sentence_similarity(TEXT, SENTENCES),
        lambda: api.one(compared, inputs),
    )

    async def waiting() -> Any:
        async with AsyncInferenceClient(
            model=f"{api.url}/hf/{api.model(compared)}", provider="hf-inference", api_key=api.key
        ) as client:
            return await client.sentence_similarity(TEXT, SENTENCES)

    yield Call(
        "AsyncInferenceClient sentence_similarity",
        compared,
        lambda: asyncio.run(waiting()),
        lambda: api.one(compared, inputs),
    )


def _texts(api: Api) -> Iterator[Call]:
    task = "text-generation"

    def continued() -> str:
        found: str = api.one(task, TEXT, max_new_tokens=4, return_full_text=False)[0]["generated_text"]
        return found

    yield Call("text_generation", task, lambda: _client(api, task).text_generation(TEXT, max_new_tokens=4), continued)

    def warned() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the client says that it leaves out what is not read
            found: str = _client(api, task).text_generation(
                TEXT, max_new_tokens=4, repetition_penalty=1.2, details=True
            )
            return found

    yield Call("text_generation, details that are not read", task, warned, continued)


def _endpoint(api: Api) -> Iterator[Call]:
    task = "feature-extraction"
    name = api.model(task).partition(":")[0]
    yield Call("get_endpoint_info", task, lambda: _client(api, task).get_endpoint_info()["model_id"], lambda: name)
    yield Call("health_check", task, lambda: _client(api, task).health_check(), lambda: True)
    wrong = InferenceClient(model=f"{api.url}/hf/nope", provider="hf-inference", api_key=api.key)
    yield Call(
        "errors: HfHubHTTPError",
        task,
        lambda: raised(lambda: wrong.feature_extraction("a"), HfHubHTTPError, "no model 'nope'"),
        lambda: True,
    )


if __name__ == "__main__":
    report("huggingface_hub", version("huggingface_hub"), calls(api_of_arguments()))
