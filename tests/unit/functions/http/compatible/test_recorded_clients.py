"""What real clients sent is answered as when they understood it. `python -m tests.conformance --record` keeps it.

A change of an answer here is a change for these clients: run `make conformance` before recording anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import pytest

from functions.http.openapi_document import document
from tests.events import request
from tests.unit.functions.http.world import make, send

LINES = (Path(__file__).parent / "recorded.jsonl").read_text(encoding="utf-8").splitlines()
RECORDED = [json.loads(line) for line in LINES]


def without_time(answer: Any) -> Any:
    """Return an answer without the second in which it was made."""
    return {name: value for name, value in answer.items() if name != "created"} if isinstance(answer, dict) else answer


@pytest.mark.parametrize("kept", RECORDED, ids=lambda kept: f"{kept['client'].split(' ')[0]} {kept['path']}")
def test_a_recorded_request_has_its_recorded_answer(kept: dict[str, Any]) -> None:
    """Status and body are the same."""
    status, answer, _ = send(make(), request(kept["method"], kept["path"], kept["body"]))
    assert (status, without_time(answer)) == (kept["status"], without_time(kept["answer"]))


@pytest.mark.parametrize("kept", RECORDED, ids=lambda kept: f"{kept['client'].split(' ')[0]} {kept['path']}")
def test_a_recorded_body_fits_the_openapi_page(kept: dict[str, Any]) -> None:
    """What a client sends and we answer is described. The page of `/v1/rerank` describes our own body alone."""
    if kept["body"] is None or kept["status"] != 200 or kept["path"] == "/v1/rerank":
        return
    [path] = [path for path in document()["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), kept["path"])]
    schema = document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(json.loads(kept["body"]), {**schema, "components": document()["components"]})


def test_no_text_gets_into_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither what was sent nor what was answered stands in a log line."""
    api = make()
    for kept in RECORDED:
        send(api, request(kept["method"], kept["path"], kept["body"]))
    logged = capsys.readouterr().out.lower()
    assert len(logged.splitlines()) == len(RECORDED)
    assert [word for word in ("river", "rhine", "wasser", "rain", "cat sleeps") if word in logged] == []


def test_each_ecosystem_is_recorded() -> None:
    """No client has fallen out of the recording."""
    clients = " ".join(each["client"] for each in RECORDED)
    wanted = [
        "OpenAI/Python",
        "OpenAI/JS",
        "cohere/",
        "cohere-ai/",
        "hf_hub/",
        "@huggingface/inference",
        "python-httpx",
    ]
    assert [name for name in wanted if name not in clients] == []
