"""The parameters of each task are read with their defaults, or refused with the bad value and what was expected."""

from __future__ import annotations

from typing import Any

import pytest

from functions.http.text_json import parse_request
from functions.tasks.parse import parse_parameters
from functions.tasks.registry import TASK_NAMES
from shared.errors import Unprocessable
from tests.unit.functions.http.bodies import BODIES, OUT_OF_RANGE


def test_parameters_have_the_defaults_of_the_task() -> None:
    """A parameter that the caller leaves out has its default in the request."""
    usual = {"top_k": 1, "function_to_apply": "default", "truncation": False, "position_reset": False}
    assert parse_request("text-classification", {"inputs": "a"}).parameters.model_dump() == usual
    body = {"inputs": "a", "parameters": {"top_k": None}}
    assert parse_request("text-classification", body).parameters.model_dump()["top_k"] is None
    targets = {"inputs": "a", "parameters": {"targets": "x"}}
    assert parse_request("fill-mask", targets).parameters.model_dump()["targets"] == ("x",)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_parameters_of_a_request_can_be_read_again(task: str) -> None:
    """Parsed parameters are themselves valid parameters."""
    parameters = parse_parameters(task, BODIES[task].get("parameters"))
    assert parse_parameters(task, parameters.model_dump()) == parameters


def test_texts_in_parameters_are_well_formed() -> None:
    """A lone surrogate in a parameter is refused, as it is in a text."""
    with pytest.raises(Unprocessable, match=r"parameters.targets.0: got 'a.udc00', expected a string"):
        parse_parameters("fill-mask", {"targets": ["a\udc00"]})
    with pytest.raises(Unprocessable, match=r"parameters.targets: got \[\], expected at least 1 item"):
        parse_parameters("fill-mask", {"targets": []})


@pytest.mark.parametrize(("task", "name"), [("fill-mask", "targets"), ("token-classification", "ignore_labels")])
def test_words_in_parameters_are_short(task: str, name: str) -> None:
    """A list in a parameter has at most 256 words, and a word has at most 256 characters."""
    assert parse_parameters(task, {name: ["a" * 256] * 256})
    with pytest.raises(Unprocessable, match="at most 256 items"):
        parse_parameters(task, {name: ["a"] * 257})
    with pytest.raises(Unprocessable, match=rf"parameters.{name}.0: got 'a+…, expected at most 256 characters"):
        parse_parameters(task, {name: ["a" * 257]})


def test_labels_are_read_as_transformers_reads_them() -> None:
    """`candidate_labels` is a list, or one string with commas between the labels."""
    task = "zero-shot-classification"
    assert parse_parameters(task, {"candidate_labels": " a, b ,, c"}).model_dump()["candidate_labels"] == (
        "a",
        "b",
        "c",
    )
    assert parse_parameters(task, {"candidate_labels": ["a, b"]}).model_dump()["candidate_labels"] == ("a, b",)


@pytest.mark.parametrize(("task", "parameters", "message"), OUT_OF_RANGE)
def test_parameters_out_of_range_are_named(task: str, parameters: dict[str, Any], message: str) -> None:
    """Each is a 422 with the value and what was expected."""
    with pytest.raises(Unprocessable, match=message) as caught:
        parse_parameters(task, parameters)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("task", "parameters", "one"),
    [
        ("text-classification", {}, True),
        ("text-classification", {"top_k": 2}, False),
        ("fill-mask", {"top_k": 1}, True),
        ("question-answering", {}, True),
        ("text-generation", {"top_k": 1}, True),
        ("text-generation", {}, False),
        ("token-classification", {}, False),
    ],
)
def test_one_guess_is_known_from_the_parameters(task: str, parameters: dict[str, object], *, one: bool) -> None:
    """The command line prints a guess without its list exactly when `top_k` is 1."""
    assert parse_parameters(task, parameters).returns_one is one
