"""The calls of the other routes: tokens, models, readiness, and any route by its path.

Both clients have these functions as methods. Must not know the HTTP library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glossa.client import readers
from glossa.client.answering import given_of, read_answer, result_of
from glossa.client.errors import BadAnswer
from glossa.client.flows import Api, Flow
from glossa.client.inputs import TextPairs
from glossa.client.values import Models, Result, Tokens


def tokenize(
    api: Api, inputs: TextPairs, *, model: str | None = None, add_special_tokens: bool | None = None
) -> Flow[Result[Tokens]]:
    """Return the tokens of each text, with their spans.

    client.tokenize("The team won.").only.tokens
    """
    body = given_of({"inputs": inputs, "model": model, "add_special_tokens": add_special_tokens})
    reply = yield from api.call("POST", "/v1/tokenize", body)
    return result_of(reply, "tokenize", readers.tokens)


def detokenize(
    api: Api,
    ids: Sequence[int] | Sequence[Sequence[int]],
    *,
    model: str | None = None,
    skip_special_tokens: bool | None = None,
) -> Flow[Result[str]]:
    """Return the text of a list of ids, or of several lists.

    client.detokenize(client.tokenize("The team won.").only.ids, skip_special_tokens=True).only
    """
    body = given_of({"ids": ids, "model": model, "skip_special_tokens": skip_special_tokens})
    reply = yield from api.call("POST", "/v1/detokenize", body)
    return result_of(reply, "detokenize", lambda value: str(value["text"]))


def models(api: Api) -> Flow[Models]:
    """Return the models that are served, and which of their heads answer when none is named.

    client.models().defaults["fill-mask"]
    """
    reply = yield from api.call("GET", "/v1/models")
    return read_answer(readers.models, reply.json, "models")


def ready(api: Api) -> Flow[bool]:
    """Tell that the API and its model server answer. Raises Unavailable, and BadAnswer for another service.

    client.ready()
    """
    reply = yield from api.call("GET", "/v1/health")
    if reply.json.get("status") != "ready":  # another service, which answers every path
        raise BadAnswer(f"got 200 and no status `ready` from {api.base_url}, expected the API of Glossa there")
    return True


def call(
    api: Api,
    method: str,
    path: str,
    body: object = None,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Flow[dict[str, Any]]:
    """Call any route; return the JSON object that it answers.

    client.call("GET", "/v1/recipes")["recipes"]
    """
    reply = yield from api.call(method, path, body, query=query, headers=headers)
    return reply.json
