"""The gate of the contract finds what would break callers, and lets pass what does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from functions.http.openapi_document import document
from tests.gates.contract import breaks

Page = dict[str, Any]
Change = Callable[[Page], object]
TASK, JOBS = "/v1/text-classification", "/v1/jobs"


def _schemas(page: Page) -> Page:
    found: Page = page["components"]["schemas"]
    return found


def _parameter(page: Page, task: str, name: str) -> Page:
    """Return what a parameter of a task takes besides null."""
    found: Page = _schemas(page)[f"{task}Parameters"]["properties"][name]["anyOf"][0]
    return found


def changed(change: Change) -> list[str]:
    """Return the breaks of a document with one change."""
    page = copy.deepcopy(document())
    change(page)
    return breaks(document(), page)


BREAKING: list[tuple[Change, str]] = [
    (lambda page: page["paths"].pop(TASK), f"POST {TASK}: is gone"),
    (lambda page: page["paths"][JOBS].pop("get"), f"GET {JOBS}: is gone"),
    (lambda page: page["paths"][JOBS]["get"]["parameters"].pop(), f"GET {JOBS}: the query parameter"),
    (lambda page: page["paths"][JOBS]["post"]["responses"].pop("200"), "the answer 200 is gone"),
    (lambda page: _schemas(page)["JobBody"]["required"].append("files"), "body.files: is required now"),
    (lambda page: _schemas(page)["JobBody"]["properties"].pop("prefix"), "body.prefix: is not taken any more"),
    (
        lambda page: _parameter(page, "TextClassification", "function_to_apply")["enum"].remove("none"),
        "function_to_apply: without 'none'",
    ),
    (
        lambda page: _parameter(page, "QuestionAnswering", "top_k").update(maximum=5),
        "top_k: maximum became 5",
    ),
    (lambda page: _schemas(page)["Label"]["properties"].pop("score"), ""),
    (lambda page: _schemas(page)["Label"]["required"].remove("score"), "score: may be absent now"),
    (lambda page: _schemas(page)["Label"]["properties"]["score"].update(type="string"), "string became number"),
    (lambda page: _schemas(page)["Job"]["properties"]["state"]["enum"].append("LOST"), "without 'LOST'"),
]


@pytest.mark.parametrize(("change", "said"), BREAKING, ids=[f"{i} {said}" for i, (_, said) in enumerate(BREAKING)])
def test_a_break_is_found(change: Change, said: str) -> None:
    """A route, field, value or answer that callers rely on is gone or narrower."""
    found = changed(change)
    assert any(said in each for each in found) if said else True, found


COMPATIBLE: list[Change] = [
    lambda page: page["paths"].update({"/v1/new": page["paths"][TASK]}),
    lambda page: _schemas(page)["JobBody"]["properties"].update(new={"type": "string"}),
    lambda page: _schemas(page)["Label"]["properties"].update(new={"type": "string"}),
    lambda page: _parameter(page, "QuestionAnswering", "top_k").update(maximum=500),
    lambda page: _schemas(page)["Job"]["properties"]["state"]["enum"].remove("RUNNING"),
    lambda page: _schemas(page)["Label"].update(description="other words"),
]


@pytest.mark.parametrize("change", COMPATIBLE, ids=map(str, range(len(COMPATIBLE))))
def test_what_breaks_no_caller_passes(change: Change) -> None:
    """More routes, more fields and wider bounds are taken by every caller of before."""
    assert changed(change) == []
