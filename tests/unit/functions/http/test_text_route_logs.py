"""The log line of a request has counts, names and times, but no text of the caller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.http.authentication import OPEN
from functions.http.text_routes import make_api
from functions.replica.fake import FakeReplica
from shared.messages import InferCall, ModelOutput
from tests.events import request
from tests.unit.functions.http.world import count_ids, make, pipeline, post, send

GOOD = {"inputs": "Le train de nuit arrive à l'aube."}
STAGES = ["tokenize", "route", "queue", "infer", "assemble"]


CANARY = "canary9f3a"


def _crash(call: InferCall) -> ModelOutput:
    raise RuntimeError(f"{CANARY} {call}")


@pytest.mark.parametrize("answer", [count_ids, _crash], ids=["answered", "crashed"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/text-classification", {"inputs": CANARY}),
        ("/v1/text-classification", {"inputs": [{"text": CANARY, "title": CANARY}]}),
        ("/v1/text-classification", {"inputs": "a", "parameters": {"top_k": CANARY}}),
        ("/v1/text-classification", {"inputs": "a", "model": CANARY}),
        ("/v1/text-classification", {"inputs": "a", CANARY: 1}),
        ("/v1/tokenize", {"inputs": CANARY, "model": f"mini:{CANARY}"}),
        (f"/v1/{CANARY}", {"inputs": "a"}),
        ("/v1/embeddings", {"input": CANARY, "user": CANARY}),
        ("/v1/completions", {"prompt": CANARY, "user": CANARY, "echo": True}),
        ("/v2/embed", {"texts": [CANARY], CANARY: CANARY}),
        ("/rerank", {"query": CANARY, "documents": [{"text": CANARY, CANARY: CANARY}], "return_documents": True}),
        (f"/tei/mini:{CANARY}/embed", {"inputs": CANARY}),
        ("/tei/mini/tokenize", {"inputs": CANARY}),
        (f"/hf/{CANARY}", {"inputs": CANARY}),
        (f"/hf/mini/{CANARY}", {"inputs": CANARY, "parameters": {CANARY: CANARY}}),
        (f"/v1/{CANARY}/{CANARY}", {"inputs": "a"}),
    ],
)
def test_no_text_reaches_a_log(answer: Any, path: str, body: object, capfd: Any, caplog: Any) -> None:
    """A text of a caller is in no log line, whether the request succeeds, is refused or crashes."""
    with caplog.at_level("DEBUG"):
        send(make(answer), request("POST", path, json.dumps(body)))
    out, err = capfd.readouterr()
    assert CANARY not in out + err + caplog.text
    assert len(out.splitlines()) == 1


def test_the_log_line_has_counts_and_names(capfd: Any) -> None:
    """The line has route, status, model, head, task, counts and stage times."""
    post(make(), "text-classification", GOOD)
    line = json.loads(capfd.readouterr().out)
    assert (line["route"], line["status"]) == ("POST /v1/<task>", 200)
    assert (line["model"], line["head"], line["task"]) == ("mini", "topic", "text-classification")
    assert (line["n_rows"], line["n_windows"], line["n_tokens"] > 5) == (1, 1, True)
    assert list(line["timings_ms"]) == STAGES
    assert "dropped" not in line


def test_the_log_line_and_the_calls_have_the_same_trace(capfd: Any) -> None:
    """The trace id of the caller is logged, and goes on to the model server with the id of the request."""
    trace, seen = "4bf92f3577b34da6a3ce929d0e0e4736", []

    class Noting(FakeReplica):
        def infer(self, calls: Any, deadline_s: float, **named: Any) -> list[ModelOutput]:
            seen.append(named)
            return super().infer(calls, deadline_s)

    raw = request("POST", "/v1/text-classification", json.dumps(GOOD))
    raw["headers"] |= {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "tracestate": f"a={CANARY}"}
    send(make_api(pipeline(), Noting(count_ids), OPEN), raw)
    line = json.loads(capfd.readouterr().out)
    assert (line["trace_id"], seen[0]["trace"].trace_id) == (trace, trace)
    assert (seen[0]["request_id"], seen[0]["trace"].state) == (line["request_id"], f"a={CANARY}")
    assert CANARY not in json.dumps(line)
