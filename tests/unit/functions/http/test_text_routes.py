"""The synchronous routes: good answers, every bad input a clear 4xx, and a service that still works after it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from functions.tasks.registry import TASK_NAMES
from shared.errors import DeadlineExceeded, Overloaded, ReplicaError, Unavailable
from shared.messages import InferCall, ModelOutput
from tests.events import FakeContext, event, request
from tests.unit.functions.http.bodies import BODIES, OUT_OF_RANGE, good, spelled
from tests.unit.functions.http.world import ask, count_ids, make, post, tokenizer

GOOD = {"inputs": "Le train de nuit arrive à l'aube."}
STAGES = ["tokenize", "route", "queue", "infer", "assemble"]


def test_a_recorded_request_is_answered() -> None:
    """A raw REST event, plain or base64, gets model, head, results, usage and stage times."""
    status, body, headers = ask(make(), event("rest_post"))
    assert status == 200
    assert (body["model"], body["head"], body["task"]) == ("mini", "topic", "text-classification")
    assert [set(label) for label in body["results"][0]] == [{"label", "score"}]
    assert body["usage"]["n_windows"] == [1]
    assert body["usage"]["truncated"] == [False]
    assert list(body["timings_ms"]) == STAGES
    assert [part.split(";")[0] for part in headers["server-timing"].split(", ")] == STAGES
    assert ask(make(), event("rest_post_base64"))[1]["results"] == body["results"]


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_of_the_catalog_has_its_route(task: str) -> None:
    """Each task answers one result per input, in order."""
    inputs = [BODIES[task]["inputs"], spelled(task, "Das Wasser <mask> steigt.")]
    status, body, _ = post(make(), task, good(task, inputs) | {"model": "mini"})
    assert status == 200
    assert len(body["results"]) == 2
    assert post(make(), task, good(task, inputs[1]))[1]["results"] == body["results"][1:]


@pytest.mark.parametrize("task", sorted(set(TASK_NAMES) - {"text-classification"}))
def test_a_task_is_refused_by_a_model_without_its_head(task: str) -> None:
    """A model that cannot do it is a 422 that says what it does; a head nobody has is a 404, in the same words."""
    status, problem, _ = post(make(), task, good(task) | {"model": "plain"})
    assert (status, f"model plain has no head for {task}; its tasks" in problem["detail"]) == (422, True)
    status, problem, _ = post(make(), task, good(task) | {"model": "mini:weather"})
    assert (status, "has no head 'weather'; heads: " in problem["detail"]) == (404, True)


@pytest.mark.parametrize(("task", "parameters", "message"), OUT_OF_RANGE)
def test_a_parameter_out_of_range_is_a_422(task: str, parameters: dict[str, Any], message: str) -> None:
    """The value and what was expected stand in the problem's detail."""
    status, problem, _ = post(make(), task, {"inputs": BODIES[task]["inputs"], "parameters": parameters})
    assert status == 422
    assert re.search(message, problem["detail"])


def test_a_language_nobody_reads_is_a_422() -> None:
    """A model of all languages alike says so."""
    for task in TASK_NAMES:
        good_input = spelled(task, "a <mask> b")
        named = {"text": good_input} if isinstance(good_input, str) else good_input
        status, problem, _ = post(make(), task, good(task, {**named, "lang": "xx"}))
        assert (status, "lang: got 'xx', expected none" in problem["detail"]) == (422, True)


def test_long_text_says_how_many_windows_it_took() -> None:
    """A text longer than the model is read whole, in windows that are counted."""
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
    """What the replica refuses with is the answer, with Retry-After where known and the time it took."""

    def refuse(_: InferCall) -> ModelOutput:
        raise error

    found, _, headers = post(make(refuse), "text-classification", GOOD)
    assert found == status
    assert headers.get("retry-after") == {429: "2", 503: "9"}.get(status)
    assert headers["server-timing"].startswith("infer;dur=")


def test_a_foreign_answer_is_a_502() -> None:
    """Tensors that do not fit the request are the server's fault, not a wrong answer."""
    assert post(make(lambda _: ModelOutput({})), "text-classification", GOOD)[0] == 502


def test_a_crash_is_a_500_without_words() -> None:
    """A bug behind the door shows no internals, and the next request works."""

    def crash(_: InferCall) -> ModelOutput:
        raise RuntimeError("secret")

    status, problem, _ = post(make(crash), "text-classification", GOOD)
    assert status == 500
    assert "secret" not in json.dumps(problem)


def test_the_deadline_is_what_the_runtime_leaves() -> None:
    """With no time left the request is refused before the model server hears of it."""

    def never(_: InferCall) -> ModelOutput:
        raise AssertionError

    raw = request("POST", "/v1/text-classification", json.dumps(GOOD))
    assert ask(make(never), raw, FakeContext(remaining_ms=1_500))[0] == 504


def test_calls_carry_the_time_left_and_who_asks() -> None:
    """The model server gets the seconds left, a tenant's hash and the tokenizer's fingerprint."""
    seen: list[InferCall] = []

    def keep(call: InferCall) -> ModelOutput:
        seen.append(call)
        return count_ids(call)

    ask(make(keep, auth="iam"), event("rest_post"), FakeContext(remaining_ms=20_000))
    assert 15 < (seen[0].timeout_s or 0) <= 18.5
    assert len(seen[0].tenant_hash) == 16
    assert seen[0].fingerprint == tokenizer().fingerprint


@pytest.mark.parametrize("path", ["/v1/text-classification", "/v1/tokenize"])
def test_without_identity_nothing_is_done(path: str) -> None:
    """Under iam a request without a verified identity is a 403, whatever else is wrong with it."""
    raw = request("POST", path, "{}")
    raw["requestContext"]["identity"] = {"sourceIp": "192.0.2.1"}
    assert ask(make(auth="iam"), raw)[0] == 403


# Models, tokens, health


# Whatever comes in


# What a log may hold
