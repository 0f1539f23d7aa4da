"""A JSON body is read as a request, or refused with the bad value and what was expected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.http.text_json import parse_request
from functions.messages import TextInput
from functions.pipeline.request_limits import RequestLimits
from functions.tasks.registry import TASK_NAMES, TASKS
from functions.tasks.task import TextRequest
from shared.errors import BadRequest, GlossaError, NotFound, TooLarge, Unprocessable
from tests.unit.functions.http.bodies import BODIES, valid_body


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "message"),
    [
        ("zero-shot-classification", ["a"] * 21, {"candidate_labels": ["l"] * 200}, "got 4200 texts to read"),
        ("zero-shot-classification", "a" * 500_000, {"candidate_labels": ["l", "m"]}, "got 1000036 characters of text"),
        ("rerank", [{"query": "a", "documents": ["b"] * 1000}] * 5, {}, "got 5000 texts to read for 5 inputs, at most"),
        ("rerank", {"query": "a" * 2000, "documents": ["b"] * 600}, {}, "got 1200600 characters of text"),
        ("multiple-choice", {"prompt": "a", "choices": ["\ufdfa" * 60_000]}, {}, "that stand for 1080001, at most"),
        ("question-answering", {"question": "a", "context": "b" * 1_000_000}, {}, "got 1000001 characters"),
    ],
)  # fmt: skip
def test_limits_count_what_the_model_reads(task: str, inputs: object, parameters: dict[str, Any], message: str) -> None:
    """The limits count each label, document and choice, and the text that is read with each of them."""
    with pytest.raises(TooLarge, match=message) as caught:
        parse_request(task, valid_body(task, inputs, **parameters))
    assert "POST /v1/jobs" in str(caught.value.hint)


def test_limits_can_be_passed() -> None:
    """A caller of `parse_request` may pass other limits."""
    body = {"inputs": {"query": "a", "documents": ["b", "c", "d"]}}
    assert parse_request("rerank", body, limits=RequestLimits(max_texts=3)).task == "rerank"
    with pytest.raises(TooLarge, match="got 3 texts to read for 1 inputs, at most 2"):
        parse_request("rerank", body, limits=RequestLimits(max_texts=2))


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_has_a_valid_request_and_refuses_an_unknown_parameter(task: str) -> None:
    """The valid body of each task is read. With an unknown parameter it is refused."""
    assert parse_request(task, BODIES[task]).inputs
    with pytest.raises(GlossaError, match=f"unknown parameter 'beams' of {task}; parameters: "):
        parse_request(task, valid_body(task, beams=3))


CLASSIFY = "text-classification"


def read(body: object, task: str = CLASSIFY, **limits: int) -> TextRequest:
    """Read one body. `limits` replace the usual ones."""
    return parse_request(task, body, limits=RequestLimits(**limits))


def test_one_text_a_list_or_pairs_are_read() -> None:
    """A text, a list of texts, and pairs become inputs unchanged."""
    assert read({"inputs": " a "}).inputs == (TextInput(" a "),)
    assert read({"inputs": ["a", {"text": "b", "text_pair": "c"}]}).inputs == (TextInput("a"), TextInput("b", "c"))
    assert read({"inputs": {"text": "b", "text_pair": None}}).inputs == (TextInput("b"),)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (None, BadRequest, "got a body of type null, expected a JSON object"),
        ([], BadRequest, "got a body of type a list"),
        ({}, Unprocessable, 'got no "inputs"'),
        ({"inputs": []}, Unprocessable, "empty list, expected at least one"),
        ({"inputs": 5}, Unprocessable, r"inputs\[0\]: got a number, expected a text"),
        ({"inputs": ["a", True]}, Unprocessable, r"inputs\[1\]: got a boolean"),
        ({"inputs": ["a", None]}, Unprocessable, r"inputs\[1\]: got null"),
        ({"inputs": [["a"]]}, Unprocessable, r"inputs\[0\]: got a list"),
        ({"inputs": ""}, Unprocessable, "an empty text, expected at least one character that is not a space"),
        ({"inputs": ["a", " \n\u3000"]}, Unprocessable, r"inputs\[1\]: got a text of only spaces"),
        ({"inputs": "ab\ud83d"}, Unprocessable, r"inputs\[0\]: got the lone surrogate U\+D83D at character 2"),
        ({"inputs": {"text": "a", "label": 1}}, Unprocessable, "unknown field 'label'"),
        ({"inputs": {"text_pair": "a"}}, Unprocessable, 'got no "text"'),
        ({"inputs": {"text": "a", "text_pair": ""}}, Unprocessable, r"inputs\[0\].text_pair: got an empty text"),
        ({"inputs": "a", "top_k": 1}, Unprocessable, "'top_k', expected inputs, parameters, model, fallback"),
        ({"inputs": "a", "model": 1}, Unprocessable, "model: got a number"),
        ({"inputs": "a", "model": ""}, Unprocessable, "model: got an empty name"),
        ({"inputs": "a", "parameters": []}, Unprocessable, "parameters: got a list, expected an object"),
        ({"inputs": "a", "parameters": {"topk": 1}}, Unprocessable, "'topk' of text-classification; parameters: trunc"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, Unprocessable, "parameters.top_k: got 0, expected greater than"),
        ({"inputs": "a", "parameters": {"top_k": "1"}}, Unprocessable, "parameters.top_k: got '1', expected a whole"),
        ({"inputs": "a", "parameters": {"top_k": True}}, Unprocessable, "parameters.top_k: got true"),
        ({"inputs": "a", "parameters": {"function_to_apply": "relu"}}, Unprocessable, "expected 'default', 'none'"),
        ({"inputs": "a", "parameters": {"truncation": 1}}, Unprocessable, "parameters.truncation: got 1, expected"),
        ({"inputs": "a", "parameters": {"\ud800": 1}}, Unprocessable, "unknown parameter"),
        ({"inputs": "a", "\ud800": 1}, Unprocessable, "unknown field"),
    ],
)  # fmt: skip
def test_bad_bodies_are_named(body: object, error: type[GlossaError], message: str) -> None:
    """Each kind of bad body has its own 4xx, whose message can be written as UTF-8."""
    with pytest.raises(error, match=message) as caught:
        read(body)
    assert 400 <= caught.value.status < 500
    caught.value.message.encode()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["a"] * 10_000, "got 10000 inputs, at most 512 in one request"),
        ("a" * 10_000_000, "got 10000000 characters of text, at most 1000000"),
        (["a" * 600_000, {"text": "a", "text_pair": "b" * 600_000}], "got 1200001 characters"),
        ("\ufdfa" * 60_000, "got 60000 characters of text that stand for 1080000, at most 1000000"),
    ],
)
def test_too_much_text_is_refused_with_a_way_forward(inputs: object, message: str) -> None:
    """A request over a limit is a 413 that names batch jobs."""
    with pytest.raises(TooLarge, match=message) as caught:
        parse_request(CLASSIFY, {"inputs": inputs})
    assert "POST /v1/jobs" in str(caught.value.hint)


def test_an_unknown_task_is_named_with_the_known() -> None:
    """An unknown task is a 404 that lists the known tasks."""
    with pytest.raises(NotFound, match=r"no task 'summarize'; tasks: .*text-generation, token-classification"):
        parse_request("summarize", {"inputs": "a"})


@pytest.mark.parametrize("task", ["feature-extraction", "token-classification", "text-generation"])
def test_pairs_are_refused_where_a_task_reads_single_texts(task: str) -> None:
    """A `text_pair` that the task would ignore is refused."""
    with pytest.raises(Unprocessable, match=r'inputs\[0\]: got a "text_pair", expected none'):
        parse_request(task, {"inputs": {"text": "a", "text_pair": "b"}})


def outcome(task: str, body: object) -> TextRequest | GlossaError:
    """Return the request or the error of a body."""
    try:
        return parse_request(task, body)
    except GlossaError as error:
        return error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    task=st.sampled_from(TASK_NAMES),
    body=JSON | st.fixed_dictionaries({"inputs": JSON}, optional={"parameters": JSON, "model": JSON}),
    name=st.none() | st.sampled_from([name for task in TASKS.values() for name in task.parameters.model_fields]),
    value=JSON,
)
def test_any_json_is_a_request_or_a_typed_error(task: str, body: Any, name: str | None, value: object) -> None:
    """Every JSON value is a request or a 4xx whose message can be written as UTF-8."""
    if name is not None and isinstance(body, dict):
        body = {"inputs": "a", **body, "parameters": {name: value}}
    found = outcome(task, body)
    if isinstance(found, GlossaError):
        assert 400 <= found.status < 500
        found.message.encode()
    else:
        assert found.inputs
