"""A smaller model answers in place of one that cannot, where the caller allows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.http.authentication import OPEN
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.replica.fake import FakeReplica
from shared.catalog import Catalog
from shared.errors import GlossaError, Overloaded, ReplicaError, Unavailable
from shared.messages import InferCall, ModelOutput
from tests.unit.functions.http.world import catalog, count_ids, pipeline, post, tokenizer

TEXT = {"inputs": "The team won."}


def _api(refusal: GlossaError | None, asked: list[str] | None = None) -> Resolver:
    """Make an API whose model `big` refuses every call, and whose stand-in `plain` answers."""
    big = catalog().model("plain").model_copy(update={"name": "big", "stand_in": "plain"})
    models = {"big": big, "plain": catalog().model("plain")}

    def answer(call: InferCall) -> ModelOutput:
        ([] if asked is None else asked).append(call.model)
        if call.model == "big" and refusal is not None:
            raise refusal
        return count_ids(call)

    made = replace(
        pipeline(), catalog=Catalog(default_model="big", models=models), tokenizers=dict.fromkeys(models, tokenizer())
    )
    return make_api(made, FakeReplica(answer), OPEN)


@pytest.mark.parametrize("refusal", [Unavailable("down", retry_after_s=5.0), Overloaded("full", retry_after_s=5.0)])
def test_the_stand_in_answers_and_says_so(refusal: GlossaError) -> None:
    """The answer has the name of the model that spoke, and is the one that this model gives when it is asked."""
    status, body, _ = post(_api(refusal), "text-classification", {**TEXT, "fallback": "allow"})
    assert (status, body["model"], body["head"]) == (200, "plain", "topic")
    direct = post(_api(None), "text-classification", {**TEXT, "model": "plain"})[1]
    assert body["results"] == direct["results"]


@pytest.mark.parametrize("more", [{}, {"fallback": "never"}, {"fallback": None}])
def test_without_leave_the_refusal_is_the_answer(more: dict[str, Any]) -> None:
    """A caller that did not ask for it never gets another model."""
    refusal, asked = Unavailable("down", retry_after_s=5.0), list[str]()
    status, _, headers = post(_api(refusal, asked), "text-classification", {**TEXT, **more})
    assert (status, headers["retry-after"], asked) == (503, "5", ["big"])


def test_while_the_model_answers_its_stand_in_is_not_asked() -> None:
    """Leave alone changes nothing."""
    asked = list[str]()
    status, body, _ = post(_api(None, asked), "text-classification", {**TEXT, "fallback": "allow"})
    assert (status, body["model"], asked) == (200, "big", ["big"])


def test_a_fault_of_one_request_is_no_reason_for_another_model() -> None:
    """Only a model that is away or full is replaced."""
    status, _, _ = post(_api(ReplicaError("broken")), "text-classification", {**TEXT, "fallback": "allow"})
    assert status == 502


@pytest.mark.parametrize("wrong", ["yes", True, 1, ["allow"], ""])
def test_any_other_word_is_refused(wrong: object) -> None:
    """The error names the words that there are."""
    status, problem, _ = post(_api(None), "text-classification", {**TEXT, "fallback": wrong})
    assert status == 422
    assert 'expected "allow" or "never"' in problem["detail"]
