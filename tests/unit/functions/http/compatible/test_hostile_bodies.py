"""No body makes a route of another ecosystem fail: what it cannot take is a 4xx in that ecosystem's form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.http.compatible.operations import OPERATIONS
from tests.events import HERE, FakeContext, event
from tests.events import request as proxy_event
from tests.unit.functions.http.world import make

FIELDS_OF = {each.path: [*each.body.model_fields] for each in OPERATIONS if each.body}
RANKING = ["query", "texts", "documents", "top_n", "return_text"]
FIELDS_OF |= dict.fromkeys(("/rerank", "/tei/<model>/rerank"), RANKING)
PATHS = sorted(FIELDS_OF)
BAD = sorted(path.stem for path in HERE.glob("bad_*.json"))
API = make()
TEXTS = st.sampled_from(["a", "", " ", "a <mask> b", "\0", "\ud800", "é\u0301", "x" * 3000, "{}", "mini", "mini:embed"])
LEAVES = st.none() | st.booleans() | st.integers(-2, 40_000) | st.sampled_from([1.0, 1e300, -0.5, 10**30]) | TEXTS
PARTS = ["question", "context", "source_sentence", "sentences", "query", "documents", "text", "text_pair", "choices"]
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.sampled_from(PATHS).flatmap(
    lambda path: st.tuples(st.just(path), st.dictionaries(st.sampled_from([*FIELDS_OF[path], "model"]), VALUES))
)


def status_of(raw: dict[str, Any]) -> int:
    """Send an event and return the status. The body must be JSON."""
    made = API.resolve(raw, FakeContext())
    json.loads(made["body"])
    return int(made["statusCode"])


def filled(path: str, model: str = "mini", task: str = "fill-mask") -> str:
    """Return the path of a route with a model and a task in it."""
    return path.replace("<model>", model).replace("<task>", task)


@pytest.mark.parametrize("path", PATHS)
def test_recorded_bad_bodies_are_no_fault_of_ours(path: str) -> None:
    """Every event that one of our routes refuses is refused by the others, or answered where it is good there."""
    for name in BAD:
        raw = event(name)
        raw["path"] = filled(path)
        assert status_of(raw) < 500, (name, path)


@settings(max_examples=200, deadline=None)
@given(BODIES, st.sampled_from(["mini", "mini:embed", "mini:topic", "plain", "no:such", "mini:", "%00"]))
def test_no_body_is_a_fault_of_ours(sent: tuple[str, dict[str, Any]], model: str) -> None:
    """Made-up bodies of a route's own fields are answered, or refused with a 4xx."""
    path, body = sent
    assert status_of(proxy_event("POST", filled(path, model), json.dumps(body))) < 500
