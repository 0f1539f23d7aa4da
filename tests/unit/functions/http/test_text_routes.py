"""The synchronous routes: good answers, every bad input a clear 4xx, and a service that still works after it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.events
from functions.tasks.registry import TASK_NAMES
from shared.errors import DeadlineExceeded, Overloaded, ReplicaError, Unavailable
from shared.messages import InferCall, ModelOutput
from tests.events import FakeContext, event, request
from tests.unit.functions.http.bodies import BODIES, good, spelled
from tests.unit.functions.http.world import ARTIFACT, LABELS, ask, count_ids, make, post, tokenizer
from tests.unit.functions.tasks.test_parse_inputs import RANGES

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


@pytest.mark.parametrize(("task", "parameters", "message"), RANGES)
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


BAD = {
    "empty_body": (400, "empty body"),
    "null_body": (400, "empty body"),
    "empty_text": (422, "empty text"),
    "whitespace": (422, "only spaces"),
    "invalid_utf8": (400, "got byte 0xe9"),
    "lone_surrogate": (422, "surrogate"),
    "lone_surrogate_in_key": (422, "surrogate"),
    "raw_nul": (400, "not JSON"),
    "escaped_nul": (422, "got a NUL"),
    "inputs_number": (422, "got a number"),
    "inputs_list_of_null": (422, "inputs[1]"),
    "inputs_nested_list": (422, "inputs[0]"),
    "inputs_missing": (422, "text"),
    "inputs_empty_list": (422, "empty list"),
    "input_unknown_field": (422, "'title'"),
    "input_pair_not_text": (422, "text_pair"),
    "unknown_task": (404, "text-classification"),
    "unknown_model": (404, "mini"),
    "unknown_head": (404, "topic"),
    "head_of_another_task": (422, "token-classification"),
    "model_without_task": (422, "fill-mask"),
    "model_not_text": (422, "got an object"),
    "model_strange": (404, "no model"),
    "unknown_parameter": (422, "top_k"),
    "parameters_list": (422, "got a list"),
    "parameter_text": (422, "parameters.top_k: got '3'"),
    "parameter_bool": (422, "parameters.top_k: got true"),
    "parameter_zero": (422, "parameters.top_k: got 0"),
    "parameter_huge": (422, "parameters.top_k"),
    "parameter_float": (422, "parameters.top_k: got 2.5"),
    "number_of_5000_digits": (400, "too many digits"),
    "number_infinite": (400, "got 1e400"),
    "deep_json": (400, "levels"),
    "deeper_than_32": (400, "more than 32 levels"),
    "nan": (400, "got NaN"),
    "array_body": (400, "got an array"),
    "text_body": (400, "got a string"),
    "broken_json": (400, "not JSON"),
    "not_json": (400, "not JSON"),
    "duplicate_keys": (400, "'inputs' twice"),
    "unknown_field": (422, "'options'"),
    "broken_base64": (400, "base64"),
    "pair_where_none": (422, "text_pair"),
    "no_mask": (422, "without a mask"),
    "too_many_masks": (422, "65 masks"),
    "targets_empty": (422, "parameters.targets"),
    "tokenize_unknown_field": (422, "'parameters'"),
    "tokenize_unknown_head": (404, "weather"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_a_clear_refusal_and_the_service_works_on(name: str) -> None:
    """Each recorded bad request gets its 4xx with the reason in words, and the next good one its answer."""
    api = make()
    status, problem, headers = ask(api, event(f"bad_{name}"))
    assert (status, headers["content-type"]) == (BAD[name][0], "application/problem+json")
    assert BAD[name][1] in problem["detail"]
    assert len(problem["detail"]) < 400
    assert post(api, "text-classification", GOOD)[0] == 200


def test_every_recorded_bad_request_is_in_the_table() -> None:
    """No event file is left unread."""
    recorded = {path.stem.removeprefix("bad_") for path in Path(tests.events.__file__).parent.glob("bad_*.json")}
    assert recorded == set(BAD)


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        ("a" * 10_000_000, 413),  # over the body cap
        ("word " * 250_000, 413),  # under it, over the characters of one request
        (["a"] * 10_000, 413),
        (["a"] * 513, 413),
        (["a"] * 512, 200),
    ],
    ids=["10 MB", "1.25 MB", "10,000 inputs", "513 inputs", "512 inputs"],
)
def test_size_limits(inputs: object, status: int) -> None:
    """Too much at once is a 413 that points to a batch job; the largest permitted list is answered."""
    api = make()
    found, body, _ = post(api, "text-classification", {"inputs": inputs})
    assert found == status
    assert status == 200 or "/v1/jobs" in body["hint"]
    assert post(api, "text-classification", GOOD)[0] == 200


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


def test_models_are_listed() -> None:
    """A caller sees names, tasks, heads, labels and limits, but not where weights lie."""
    status, body, _ = ask(make(), event("rest_get"))
    assert (status, body["default_model"]) == (200, "mini")
    mini, plain = body["models"]
    assert mini["heads"]["topic"] == {"task": "text-classification", "labels": list(LABELS), "default": True}
    assert (plain["name"], plain["tasks"], plain["max_tokens"]) == ("plain", ["text-classification"], 32)
    assert "nowhere" not in json.dumps(body)


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/text-classification"), ("GET", "/v1/models")])
def test_a_query_that_nobody_reads_is_refused(method: str, path: str) -> None:
    """What a caller asks for in the query is not passed over in silence."""
    raw = request(method, path, '{"inputs": "a"}', queryStringParameters={"top_k": "2"})
    status, problem, _ = ask(make(), raw)
    assert (status, problem["detail"]) == (422, "got the query parameter 'top_k', expected none here")


def test_one_model() -> None:
    """A model has its own address; an unknown one is a 404 that names the models."""
    assert ask(make(), request("GET", "/v1/models/plain"))[1]["name"] == "plain"
    status, problem, _ = ask(make(), request("GET", "/v1/models/maxi"))
    assert (status, "plain" in problem["detail"]) == (404, True)


def test_tokens_of_texts_and_pairs() -> None:
    """Ids, pieces, offsets and the mask of special tokens stand side by side; offsets slice the text."""
    text = "Ньютон lebte in 北京."
    status, body, headers = post(make(), "tokenize", {"inputs": [text, {"text": "a", "text_pair": "b"}]})
    single, pair = body["results"]
    reference = tokenizers.Tokenizer.from_file(str(ARTIFACT))
    assert (status, body["model"]) == (200, "mini")
    assert single["ids"] == reference.encode(text).ids
    assert pair["ids"] == reference.encode("a", "b").ids
    assert single["tokens"][0] == "<s>"
    assert single["special_tokens_mask"] == [1, *[0] * (single["count"] - 2), 1]
    assert len(single["tokens"]) == len(single["offsets"]) == single["count"]
    assert {i for start, end in single["offsets"] for i in range(start, end)} >= {
        i for i, c in enumerate(text) if c > " "
    }
    assert headers["server-timing"].startswith("tokenize;dur=")


@pytest.mark.parametrize(("n_words", "n_windows"), [(1, 1), (30, 1), (31, 2), (90, 3)])
def test_tokenize_counts_windows(n_words: int, n_windows: int) -> None:
    """`n_windows` is what the model would read; `count` is the whole text, however long."""
    (found,) = post(make(), "tokenize", {"inputs": "a " * n_words})[1]["results"]
    assert (found["count"], found["n_windows"]) == (n_words + 2, n_windows)


def test_a_pair_no_window_can_hold_has_no_count_of_windows() -> None:
    """Where a task would refuse the pair, the tokens are still shown."""
    (found,) = post(make(), "tokenize", {"inputs": {"text": "a " * 50, "text_pair": "b " * 50}})[1]["results"]
    assert found["n_windows"] is None
    assert found["count"] == 104


@pytest.mark.parametrize(("up", "status"), [(True, 200), (False, 503)])
def test_health_is_the_model_servers(*, up: bool, status: int) -> None:
    """Healthy means that the model server takes requests; else when to ask again."""
    found, _, headers = ask(make(up=up), request("GET", "/v1/health"))
    assert found == status
    assert up or headers["retry-after"] == "5"


# Whatever comes in

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
INPUTS = st.one_of(VALUES, st.text(max_size=40), st.lists(st.text(max_size=20) | VALUES, max_size=3))
PARAMETERS = st.dictionaries(
    st.sampled_from(["top_k", "truncation", "targets", "per_token", "aggregation_strategy"]), VALUES, max_size=2
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": INPUTS},
    optional={"parameters": PARAMETERS | VALUES, "model": st.sampled_from(["mini", "mini:mlm", "x", ":", 3])},
)
API = make()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*TASK_NAMES, "tokenize", "jobs"]), REQUESTS | VALUES)
def test_any_json_is_answered_or_refused(task: str, body: Any) -> None:
    """No JSON body, however odd, is a 5xx."""
    assert post(API, task, body)[0] < 500


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), braces=st.booleans())
def test_any_bytes_are_refused(*, data: bytes, braces: bool) -> None:
    """Arbitrary bytes are a 4xx."""
    body = base64.b64encode(b'{"inputs": ' + data + b"}" if braces else data).decode()
    assert 200 <= ask(API, request("POST", "/v1/text-classification", body, isBase64Encoded=True))[0] < 500


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.sampled_from(TASK_NAMES))
def test_any_text_is_read(text: str, task: str) -> None:
    """Every text is answered, or refused because it is empty for the reader."""
    text = text + "<mask>" if task == "fill-mask" else text
    status, body, _ = post(API, task, good(task, spelled(task, text)))
    refuses_long = {"text-generation", "multiple-choice", "rerank"}  # windows of this world hold 32 tokens
    assert status in {200, 422, 413 if task in refuses_long else 200}
    assert status != 200 or len(body["results"]) == 1


# What a log may hold

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
        (f"/v1/{CANARY}/{CANARY}", {"inputs": "a"}),
    ],
)
def test_no_text_reaches_a_log(answer: Any, path: str, body: object, capfd: Any, caplog: Any) -> None:
    """A unique text sent through success, refusal and crash is in no line; one line says what happened."""
    with caplog.at_level("DEBUG"):
        ask(make(answer), request("POST", path, json.dumps(body)))
    out, err = capfd.readouterr()
    assert CANARY not in out + err + caplog.text
    assert len(out.splitlines()) == 1


def test_the_line_of_a_request_says_lengths_and_ids(capfd: Any) -> None:
    """Route, status, model, head, task, counts and stage times are in the one line."""
    post(make(), "text-classification", GOOD)
    line = json.loads(capfd.readouterr().out)
    assert (line["route"], line["status"]) == ("POST /v1/<task>", 200)
    assert (line["model"], line["head"], line["task"]) == ("mini", "topic", "text-classification")
    assert (line["n_rows"], line["n_windows"], line["n_tokens"] > 5) == (1, 1, True)
    assert list(line["timings_ms"]) == STAGES
    assert "dropped" not in line
