"""One request in one process, from the API through client, sockets and protocol, gives the engine's own numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from functions.http.authentication import OPEN
from functions.http.text_json import parse_request
from functions.http.text_routes import make_api
from functions.replica.client import ReplicaClient
from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from functions.tasks.registry import TASK_NAMES
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from shared.errors import GlossaError, NotFound
from shared.messages import InferCall, ModelOutput
from shared.protocol import CallLimits, decode_call, encode_error, encode_output
from tests.loopback import serving
from tests.unit.functions.http.bodies import valid_body, with_text
from tests.unit.functions.http.world import catalog, pipeline, post

LIMITS = CallLimits(max_body_bytes=4 * 2**20, max_rows=1024, max_tokens=16_384, max_row_tokens=32, vocab_size=40_000)
TEXTS = ["Das <mask> ist ein Haus.", "東京の <mask> は晴れ。 " * 40, "هذا <mask> جميل", "a" * 300 + " <mask>"]
PARAMETERS: dict[str, list[dict[str, object]]] = {
    "text-classification": [{}, {"top_k": None}, {"truncation": True}],
    "token-classification": [{}, {"aggregation_strategy": "none", "ignore_labels": []}],
    "fill-mask": [{}, {"top_k": 3}, {"targets": ["Haus", "日"]}],
    "feature-extraction": [{}, {"per_token": True}, {"normalize": True}],
    "question-answering": [{}, {"top_k": 3, "handle_impossible_answer": True}],
    "multiple-choice": [{"truncation": True}],
    "rerank": [{"truncation": True}],
    "text-generation": [{"truncation": True, "max_new_tokens": 4, "num_return_sequences": 2, "do_sample": True}],
    "zero-shot-classification": [{}, {"multi_label": True}],
}
CASES = [(task, parameters) for task in TASK_NAMES for parameters in PARAMETERS.get(task, [{}])]


def _engine(model: str) -> FakeEngine:
    return FakeEngine(catalog().model(model))


def _replica(sent: SentRequest) -> Reply:
    """Answer one protocol request as the model server does, but without its scheduler."""
    model = sent.path.split("/")[3]
    try:
        decoded = decode_call(model, sent.headers, sent.data, LIMITS)
        body = encode_output(decoded, model, "1", infer(_engine(model), decoded.call))
    except GlossaError as error:
        return _refused(error)
    return Reply(200, body.headers, body.data)


def _refused(error: GlossaError) -> Reply:
    body = encode_error(error)
    return Reply(error.status, body.headers, body.data)


def _direct(calls: Sequence[InferCall]) -> list[ModelOutput]:
    return [infer(_engine(call.model), call) for call in calls]


@pytest.mark.parametrize(("task", "parameters"), CASES)
def test_http_and_protocol_change_no_number(task: str, parameters: dict[str, object]) -> None:
    """Over loopback HTTP, each task gives exactly the answer that the pipeline gives with the engine itself."""
    inputs = [with_text(task, text) for text in TEXTS]
    body = valid_body(task, inputs, **parameters) | {"model": "mini"}
    expected = pipeline().run(parse_request(task, body), _direct)
    with serving(_replica) as (url, _):
        client = ReplicaClient(url)
        status, answer, headers = post(make_api(pipeline(), client, OPEN), task, body)
        client.close()
    assert status == 200
    assert answer["results"] == json.loads(json.dumps(expected.values))
    assert answer["usage"]["n_windows"] == list(expected.n_windows)
    assert "queue;dur=0.0" in headers["server-timing"]


def test_many_calls_of_one_request_come_back_in_order() -> None:
    """A request of more than 16k tokens is sent in several calls at once. Its results keep their order."""
    inputs = [f"text {i} " + "word " * 200 for i in range(128)]
    body = {"inputs": inputs}
    expected = pipeline().run(parse_request("text-classification", body), _direct)
    with serving(_replica) as (url, connections):
        client = ReplicaClient(url)
        _, answer, _ = post(make_api(pipeline(), client, OPEN), "text-classification", body)
        client.close()
    assert answer["results"] == json.loads(json.dumps(expected.values))
    assert 2 <= len(connections) <= 4


def test_an_error_of_the_server_keeps_its_message() -> None:
    """An error of the model server reaches the caller with its class and message."""
    with serving(lambda _: _refused(NotFound("no head 'x'"))) as (url, _):
        client = ReplicaClient(url)
        status, problem, _ = post(make_api(pipeline(), client, OPEN), "text-classification", {"inputs": "a"})
        client.close()
    assert (status, problem["code"], problem["detail"]) == (404, "not-found", "no head 'x'")
