"""The text routes: valid answers, parameters out of range, and errors of the model server."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from functions.http.authentication import Auth
from functions.tasks.registry import TASK_NAMES
from shared.errors import DeadlineExceeded, Overloaded, ReplicaError, Unavailable
from shared.messages import InferCall, ModelOutput
from tests.events import FakeContext, event, request
from tests.unit.functions.http.bodies import BODIES, OUT_OF_RANGE, valid_body, with_text
from tests.unit.functions.http.world import count_ids, make, post, send, tokenizer

GOOD = {"inputs": "Le train de nuit arrive à l'aube."}
STAGES = ["tokenize", "route", "queue", "infer", "assemble"]


def test_a_recorded_request_is_answered() -> None:
    """A raw REST event, plain or base64, is answered with model, head, results, usage and stage times."""
    status, body, headers = send(make(), event("rest_post"))
    assert status == 200
    assert (body["model"], body["head"], body["task"]) == ("mini", "topic", "text-classification")
    assert [set(label) for label in body["results"][0]] == [{"label", "score"}]
    assert body["usage"]["n_windows"] == [1]
    assert body["usage"]["truncated"] == [False]
    assert list(body["timings_ms"]) == STAGES
    assert [part.split(";")[0] for part in headers["server-timing"].split(", ")] == STAGES
    assert send(make(), event("rest_post_base64"))[1]["results"] == body["results"]


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_of_the_catalog_has_its_route(task: str) -> None:
    """Each task gives one result for each input, in order."""
    inputs = [BODIES[task]["inputs"], with_text(task, "Das Wasser <mask> steigt.")]
    status, body, _ = post(make(), task, valid_body(task, inputs) | {"model": "mini"})
    assert status == 200
    assert len(body["results"]) == 2
    assert post(make(), task, valid_body(task, inputs[1]))[1]["results"] == body["results"][1:]


@pytest.mark.parametrize("task", sorted(set(TASK_NAMES) - {"text-classification"}))
def test_a_task_is_refused_by_a_model_without_its_head(task: str) -> None:
    """A model without a head for it is a 422 that names its tasks and what adds a head. An unknown head is a 404."""
    status, problem, _ = post(make(), task, valid_body(task) | {"model": "plain"})
    assert (status, f"model plain has no head for {task}; its tasks" in problem["detail"]) == (422, True)
    assert "glossa head train --model plain" in problem["hint"] or "glossa catalog add" in problem["hint"]
    status, problem, _ = post(make(), task, valid_body(task) | {"model": "mini:weather"})
    assert (status, "has no head 'weather'; heads: " in problem["detail"]) == (404, True)


@pytest.mark.parametrize(("task", "parameters", "message"), OUT_OF_RANGE)
def test_a_parameter_out_of_range_is_a_422(task: str, parameters: dict[str, Any], message: str) -> None:
    """The detail of the problem has the value and what was expected."""
    status, problem, _ = post(make(), task, {"inputs": BODIES[task]["inputs"], "parameters": parameters})
    assert status == 422
    assert re.search(message, problem["detail"])


def test_a_language_for_a_model_without_languages_is_a_422() -> None:
    """A model that reads no language ids refuses `lang`."""
    for task in TASK_NAMES:
        valid_input = with_text(task, "a <mask> b")
        named = {"text": valid_input} if isinstance(valid_input, str) else valid_input
        status, problem, _ = post(make(), task, valid_body(task, {**named, "lang": "xx"}))
        assert (status, "lang: got 'xx', expected none" in problem["detail"]) == (422, True)


def test_long_text_says_how_many_windows_it_took() -> None:
    """A text that is longer than a window is read whole. The answer counts its windows."""
    _, body, _ = post(make(), "text-classification", {"inputs": ["short", "long " * 100]})
    assert body["usage"]["n_windows"][0] == 1
    assert body["usage"]["n_windows"][1] > 1
    assert body["usage"]["truncated"] == [False, False]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Overloaded("full", retry_after_s=1.4), 429),
        (ReplicaError("broken"), 502),
        (Unavailable("down", retry_after_s=9.0), 503),
        (DeadlineExceeded("late"), 504),
    ],
)
def test_errors_of_the_model_server_reach_the_caller_with_their_timing(error: Exception, status: int) -> None:
    """An error of the replica is the answer, with Retry-After where it is known and with the time it took."""

    def refuse(_: InferCall) -> ModelOutput:
        raise error

    found, _, headers = post(make(refuse), "text-classification", GOOD)
    assert found == status
    assert headers.get("retry-after") == {429: "2", 503: "9"}.get(status)
    assert headers["server-timing"].startswith("infer;dur=")


def test_an_answer_that_does_not_fit_is_a_502() -> None:
    """Tensors that do not fit the request are an error of the model server, not a wrong answer."""
    assert post(make(lambda _: ModelOutput({})), "text-classification", GOOD)[0] == 502


def test_a_crash_is_a_500_without_internals() -> None:
    """The answer to a bug shows no internals."""

    def crash(_: InferCall) -> ModelOutput:
        raise RuntimeError("secret")

    status, problem, _ = post(make(crash), "text-classification", GOOD)
    assert status == 500
    assert "secret" not in json.dumps(problem)


def test_the_deadline_is_what_the_runtime_leaves() -> None:
    """Without time left a request is refused before the model server is called."""

    def never(_: InferCall) -> ModelOutput:
        raise AssertionError

    raw = request("POST", "/v1/text-classification", json.dumps(GOOD))
    assert send(make(never), raw, FakeContext(remaining_ms=1_500))[0] == 504


def test_calls_carry_the_time_left_and_who_asks() -> None:
    """The model server gets the seconds left, a hash of the tenant and the tokenizer's fingerprint."""
    seen: list[InferCall] = []

    def keep(call: InferCall) -> ModelOutput:
        seen.append(call)
        return count_ids(call)

    send(make(keep, auth=Auth("iam")), event("rest_post"), FakeContext(remaining_ms=20_000))
    assert 15 < (seen[0].timeout_s or 0) <= 18.5
    assert len(seen[0].tenant_hash) == 16
    assert seen[0].fingerprint == tokenizer().fingerprint


@pytest.mark.parametrize("path", ["/v1/text-classification", "/v1/tokenize"])
def test_without_identity_nothing_is_done(path: str) -> None:
    """With auth `iam` a request without a verified identity is a 403, whatever else is wrong with it."""
    raw = request("POST", path, "{}")
    raw["requestContext"]["identity"] = {"sourceIp": "192.0.2.1"}
    assert send(make(auth=Auth("iam")), raw)[0] == 403
