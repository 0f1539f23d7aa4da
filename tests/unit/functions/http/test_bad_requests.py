"""A bad request gets a 4xx that names the reason, and the service answers the next request."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.events
from functions.tasks.registry import TASK_NAMES
from tests.events import event, request
from tests.unit.functions.http.bodies import valid_body, with_text
from tests.unit.functions.http.world import make, post, send

GOOD = {"inputs": "Le train de nuit arrive à l'aube."}


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
    """Each recorded bad request gets its 4xx with the reason. The next valid request is answered."""
    api = make()
    status, problem, headers = send(api, event(f"bad_{name}"))
    assert (status, headers["content-type"]) == (BAD[name][0], "application/problem+json")
    assert BAD[name][1] in problem["detail"]
    assert len(problem["detail"]) < 400
    assert post(api, "text-classification", GOOD)[0] == 200


def test_every_recorded_bad_request_is_in_the_table() -> None:
    """Each event file of a bad request is tested."""
    recorded = {path.stem.removeprefix("bad_") for path in Path(tests.events.__file__).parent.glob("bad_*.json")}
    assert recorded == set(BAD)


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        ("a" * 10_000_000, 413),  # over the limit of a body
        ("word " * 250_000, 413),  # under that limit, over the limit of characters
        (["a"] * 10_000, 413),
        (["a"] * 513, 413),
        (["a"] * 512, 200),
    ],
    ids=["10 MB", "1.25 MB", "10,000 inputs", "513 inputs", "512 inputs"],
)
def test_size_limits(inputs: object, status: int) -> None:
    """Too much in one request is a 413 that names batch jobs. The longest allowed list is answered."""
    api = make()
    found, body, _ = post(api, "text-classification", {"inputs": inputs})
    assert found == status
    assert status == 200 or "/v1/jobs" in body["hint"]
    assert post(api, "text-classification", GOOD)[0] == 200


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
    """No JSON body gives a 5xx."""
    assert post(API, task, body)[0] < 500


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), braces=st.booleans())
def test_any_bytes_are_refused(*, data: bytes, braces: bool) -> None:
    """No bytes give a 5xx."""
    body = base64.b64encode(b'{"inputs": ' + data + b"}" if braces else data).decode()
    assert 200 <= send(API, request("POST", "/v1/text-classification", body, isBase64Encoded=True))[0] < 500


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.sampled_from(TASK_NAMES))
def test_any_text_is_read(text: str, task: str) -> None:
    """Every text is answered or refused: as empty, or as too long where the task cannot split it."""
    text = text + "<mask>" if task == "fill-mask" else text
    status, body, _ = post(API, task, valid_body(task, with_text(task, text)))
    refuses_long = {"text-generation", "multiple-choice", "rerank"}  # a window here has 32 tokens
    assert status in {200, 422, 413 if task in refuses_long else 200}
    assert status != 200 or len(body["results"]) == 1
