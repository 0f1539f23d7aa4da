"""What the OpenAPI page says of the synchronous routes is what they take and give."""

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
from tests.unit.functions.http.bodies import good
from tests.unit.functions.http.world import make, post


@pytest.mark.parametrize("task", TASK_NAMES)
def test_answers_fit_the_page(task: str) -> None:
    """A real answer of each route is of the schema the page gives."""
    _validate(post(make(), task, good(task))[1], f"/v1/{task}", "200")
    _validate(post(make(), "tokenize", {"inputs": "a"})[1], "/v1/tokenize", "200")
    problem = post(make(), task, good(task, ""))[1]
    jsonschema.validate(problem, {"$ref": "#/components/schemas/Problem", "components": document()["components"]})


WORDS = st.sampled_from(["a", "b <mask>"])
PARTS = WORDS | st.sampled_from([None, 3, [], ["a"], ["a", "b"], ["a", "b", "c"]])
SPELLINGS = [
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
    | st.sampled_from(SPELLINGS).flatmap(lambda names: st.dictionaries(st.sampled_from(names), PARTS, max_size=3))
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
def test_the_page_and_the_door_agree(task: str, body: dict[str, Any]) -> None:
    """What the page's schema takes is taken, what it refuses is refused."""
    assert _fits(body, task) == _taken(body, task)


def _fits(body: object, task: str) -> bool:
    schema = document()["paths"][f"/v1/{task}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator({**schema, "components": document()["components"]})
    return bool(validator.is_valid(body))


def _taken(body: object, task: str) -> bool:
    try:
        parse_request(task, body)
    except GlossaError:
        return False
    return True


def _validate(answer: object, path: str, status: str) -> None:
    schema = document()["paths"][path]["post"]["responses"][status]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document()["components"]})
