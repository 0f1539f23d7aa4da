"""The OpenAPI document describes what the text routes accept and return."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.http.openapi_document import document
from functions.http.text_json import parse_request
from functions.tasks.registry import TASK_NAMES, TASKS
from shared.errors import GlossaError
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.http.world import make, post


@pytest.mark.parametrize("task", TASK_NAMES)
def test_answers_fit_the_schema(task: str) -> None:
    """A real answer of each route is valid by the schema of the document."""
    _validate(post(make(), task, valid_body(task))[1], f"/v1/{task}", "200")
    _validate(post(make(), "tokenize", {"inputs": "a"})[1], "/v1/tokenize", "200")
    problem = post(make(), task, valid_body(task, ""))[1]
    jsonschema.validate(problem, {"$ref": "#/components/schemas/Problem", "components": document()["components"]})


WORDS = st.sampled_from(["a", "b <mask>"])
PARTS = WORDS | st.sampled_from([None, 3, [], ["a"], ["a", "b"], ["a", "b", "c"]])
FIELD_NAMES = [
    ["text", "text_pair", "lang"],
    ["question", "context", "text"],
    ["query", "documents", "texts", "lang"],
    ["source_sentence", "sentences"],
    ["prompt", "choices", "x"],
    ["sequence", "sequences"],
]
ITEMS = (
    WORDS
    | st.just(3)
    | st.sampled_from(FIELD_NAMES).flatmap(lambda names: st.dictionaries(st.sampled_from(names), PARTS, max_size=3))
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "inputs": ITEMS | st.lists(ITEMS, max_size=2),
        "model": st.sampled_from([None, "mini", "", 3]),
        "parameters": st.none()
        | st.dictionaries(
            st.sampled_from([name for task in TASKS.values() for name in task.parameters.model_fields]),
            st.sampled_from(
                [0, 1, 1000, 1001, True, False, None, "simple", "softmax", "a {} b", "{}{}", 1.5, ["a"], []]
            ),
            max_size=3,
        ),
        "other": st.just(1),
    },
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TASK_NAMES), BODIES)
def test_the_schema_and_the_parser_agree(task: str, body: dict[str, Any]) -> None:
    """The schema and the parser accept the same bodies."""
    assert _fits(body, task) == _is_parsed(body, task)


def _fits(body: object, task: str) -> bool:
    schema = document()["paths"][f"/v1/{task}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator({**schema, "components": document()["components"]})
    return bool(validator.is_valid(body))


def _is_parsed(body: object, task: str) -> bool:
    try:
        parse_request(task, body)
    except GlossaError:
        return False
    return True


def _validate(answer: object, path: str, status: str) -> None:
    schema = document()["paths"][path]["post"]["responses"][status]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document()["components"]})
