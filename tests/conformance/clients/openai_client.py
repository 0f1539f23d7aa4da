"""The calls of `openai` for Python. Must not know how our routes answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai

from tests.conformance.clients.calls import Api, Call, api_of_arguments, raised, report

TEXTS = ["The river rises after the rain.", "Das Wasser steigt."]
PROMPT = "The river"


def calls(api: Api) -> Iterator[Call]:
    """Yield the calls."""
    client = openai.OpenAI(base_url=f"{api.url}/v1", api_key=api.key, max_retries=0)
    yield from _embeddings(api, client)
    yield from _models(api, client)
    yield Call(
        "completions.create",
        "text-generation",
        lambda: _completed(api, client, temperature=0).choices[0].text,
        lambda: api.one("text-generation", PROMPT, max_new_tokens=4, return_full_text=False)[0]["generated_text"],
    )
    yield Call(
        "completions.create, n, echo",
        "text-generation",
        lambda: [each.text.startswith(PROMPT) for each in _completed(api, client, n=2, seed=1, echo=True).choices],
        lambda: [True, True],
    )


def _completed(api: Api, client: openai.OpenAI, **more: Any) -> Any:
    return client.completions.create(model=api.model("text-generation"), prompt=PROMPT, max_tokens=4, **more)


def _embeddings(api: Api, client: openai.OpenAI) -> Iterator[Call]:
    task = "feature-extraction"

    def vectors(texts: Any, **more: Any) -> Any:
        made = client.embeddings.create(model=api.model(task), input=texts, **more)
        assert made.usage.prompt_tokens == made.usage.total_tokens > 0
        return [each.embedding for each in made.data]

    async def vectors_async() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key=api.key, max_retries=0) as waiting:
            made = await waiting.embeddings.create(model=api.model(task), input=TEXTS)
            return [each.embedding for each in made.data]

    def wanted() -> Any:
        return api.own(task, TEXTS, normalize=True)

    yield Call("embeddings.create (base64)", task, lambda: vectors(TEXTS), wanted)
    yield Call("embeddings.create (float)", task, lambda: vectors(TEXTS, encoding_format="float"), wanted)
    yield Call("embeddings.create, token ids", task, lambda: vectors([api.tokens(t, task) for t in TEXTS]), wanted)
    yield Call(
        "embeddings.create, dimensions",
        task,
        lambda: vectors(TEXTS, dimensions=2),
        lambda: api.own(task, TEXTS, normalize=True, dimensions=2),
    )
    yield Call("AsyncOpenAI embeddings.create", task, lambda: asyncio.run(vectors_async()), wanted)
    refused = {"": openai.BadRequestError, "nope": openai.NotFoundError}
    yield Call(
        "errors: BadRequestError, NotFoundError",
        task,
        lambda: [
            raised(lambda: client.embeddings.create(model=api.model(task), input=""), refused[""], "got an empty text"),
            raised(lambda: client.embeddings.create(model="nope", input="a"), refused["nope"], "no model 'nope'"),
        ],
        lambda: [True, True],
    )


def _models(api: Api, client: openai.OpenAI) -> Iterator[Call]:
    name = api.model("feature-extraction").partition(":")[0]
    yield Call("models.list", "", lambda: name in [each.id for each in client.models.list()], lambda: True)
    yield Call("models.retrieve", "", lambda: client.models.retrieve(name).id, lambda: name)


if __name__ == "__main__":
    report("openai (Python)", openai.__version__, calls(api_of_arguments()))
