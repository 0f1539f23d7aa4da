"""What real clients sent is answered as when they understood it, behind the authorizer of the template.

`python -m tests.conformance --record` keeps it, and this file sends it again: one call or more of each client that
`make conformance` runs, with the header in which it brings its key. A change of an answer here is a change for these
clients: run `make conformance` before recording anew.
"""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import pytest

from functions.http.authentication import Auth
from functions.http.openapi_document import document
from functions.http.resolver import Resolver
from tests.conformance.gateway import Denied, Gateway, make_gateway
from tests.conformance.http_server import event_of
from tests.conformance.recording import KEY, body_of
from tests.events import FakeContext
from tests.unit.functions.http.model_server import make_with_v2

LINES = (Path(__file__).parent / "recorded.jsonl").read_text(encoding="utf-8").splitlines()
RECORDED = [json.loads(line) for line in LINES]
BEARER = Auth("bearer")
# Every client that is recorded, by its name without the version.
CLIENTS = {
    "openai (Python)", "cohere (Python)", "huggingface_hub", "TEI's routes, without a client", "LangChain",
    "LlamaIndex", "Haystack", "tritonclient (HTTP)", "KServe's SDK", "open-inference-openapi",
    "@huggingface/inference", "OpenAI/JS", "cohere-ai",
}  # fmt: skip


@cache
def gateway() -> Gateway:
    """Make a gateway with a key and a JWT."""
    return make_gateway()


@cache
def api() -> Resolver:
    """Make the API that asks who was verified."""
    return make_with_v2(BEARER)


def answered(kept: dict[str, Any], token: str) -> tuple[int, bytes]:
    """Send a recorded request again, with a token in place of the recorded key. Return status and body."""
    headers = {name: value.replace(KEY, token) for name, value in kept["headers"].items()}
    event = event_of(kept["method"], kept["path"], headers, body_of(kept, "body"))
    caller = gateway().context(kept["method"], kept["path"], headers.get("authorization", ""))
    event["requestContext"]["authorizer"] = dict(caller)
    made = api().resolve(event, FakeContext())
    return made["statusCode"], base64.b64decode(made["body"]) if made["isBase64Encoded"] else made["body"].encode()


def without_time(answer: bytes) -> Any:
    """Return an answer without the second in which it was made, or its bytes when it is no JSON."""
    try:
        read = json.loads(answer)
    except ValueError:
        return answer
    return {name: value for name, value in read.items() if name != "created"} if isinstance(read, dict) else read


def name_of(kept: dict[str, Any]) -> str:
    """Return the client and the path of a recorded request."""
    return f"{kept['client']} {kept['path']}"


@pytest.mark.parametrize("kept", RECORDED, ids=name_of)
def test_a_recorded_request_has_its_recorded_answer(kept: dict[str, Any]) -> None:
    """Status and body are the same, with the API key as the client brings it."""
    status, answer = answered(kept, gateway().key)
    assert (status, without_time(answer)) == (kept["status"], without_time(body_of(kept, "answer")))


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_each_client_is_recorded_and_may_bring_a_jwt(client: str) -> None:
    """One call of each passes with a JWT in place of a key, and none without a token of ours."""
    kept = next(each for each in RECORDED if each["client"].startswith(client) and each["status"] == 200)
    assert re.fullmatch(rf"(?i:bearer) {KEY}", kept["headers"]["authorization"])
    assert answered(kept, gateway().jwt)[0] == 200
    with pytest.raises(Denied, match="a token of nobody"):
        answered(kept, "glossa_0123456789abcdef_" + "x" * 43)


def test_no_client_has_fallen_out_of_the_list() -> None:
    """Whoever is recorded is in the list above."""
    assert [each["client"] for each in RECORDED if not each["client"].startswith(tuple(CLIENTS))] == []


@pytest.mark.parametrize("kept", RECORDED, ids=name_of)
def test_a_recorded_body_fits_the_openapi_page(kept: dict[str, Any]) -> None:
    """What a client sends and we answer is described."""
    if not kept.get("body") or kept["status"] != 200:
        return
    [path] = [path for path in document()["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), kept["path"])]
    schema = document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(json.loads(kept["body"]), {**schema, "components": document()["components"]})


def test_no_text_gets_into_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither what was sent nor what was answered stands in a log line, nor a token."""
    for kept in RECORDED:
        answered(kept, gateway().key)
    logged = capsys.readouterr().out
    words = ("river", "rhine", "wasser", "rain", "cat sleeps", gateway().key.lower())
    assert len(logged.splitlines()) >= len(RECORDED)
    assert [word for word in words if word in logged.lower()] == []
