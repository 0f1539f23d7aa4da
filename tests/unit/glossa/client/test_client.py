"""Each task is called on the real function over a fake model server: by both clients, and with every parameter."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import httpx2
import numpy as np
import pytest

from functions.http.openapi_document import document
from functions.tasks.registry import TASKS
from glossa.client import (
    Answer,
    AsyncClient,
    BadAnswer,
    Choice,
    Client,
    Entity,
    FilledMask,
    Label,
    RankedDocument,
    Result,
    Unprocessable,
    answering,
    routes,
    tasks,
    vectors,
)
from glossa.client.client import ApiMethods
from glossa.client.readers import BY_TASK
from glossa.client.runners import Method
from tests.house.tree import ROOT
from tests.unit.functions.http.world import make
from tests.unit.glossa.client.served import URL, answer_of, async_client_of, client_of

TEXTS = ["Ada Lovelace lives in London.", "The team won."]
PAIR = {"question": "Who won?", "context": "The team won."}
CHOICES = {"text": "It rains, so", "choices": ["we get wet.", "we are dry."]}
QUERY = {"query": "Who won?", "documents": ["Prices rise.", "The team won.", "It rains."]}
SOURCE = {"source_sentence": "We won.", "sentences": ["Wir haben gewonnen.", "It rains."]}
# the method, its inputs, its parameters, and the type of the first thing in the answer to an input
CALLS: list[tuple[str, Any, dict[str, Any], type]] = [
    ("text_classification", TEXTS, {"top_k": 2, "function_to_apply": "sigmoid"}, Label),
    ("text_classification", {"text": TEXTS[0], "text_pair": TEXTS[1]}, {"top_k": None, "truncation": True}, Label),
    ("zero_shot_classification", TEXTS, {"candidate_labels": ["sports", "politics"], "multi_label": True}, Label),
    ("token_classification", TEXTS, {"aggregation_strategy": "first", "ignore_labels": []}, Entity),
    ("token_classification", TEXTS[0], {"aggregation_strategy": "none", "ignore_labels": []}, Entity),
    ("question_answering", PAIR, {"max_answer_len": 5, "align_to_words": False}, Answer),
    ("question_answering", [PAIR, PAIR], {"top_k": 3, "handle_impossible_answer": True}, Answer),
    ("multiple_choice", CHOICES, {"truncation": True}, Choice),
    ("fill_mask", "Paris is the <mask> of France.", {"top_k": 3}, list),
    ("fill_mask", ["A <mask> and a <mask>.", "One <mask>."], {"targets": ["city"]}, list),
    ("text_generation", TEXTS, {"max_new_tokens": 3, "do_sample": True, "num_return_sequences": 2, "seed": 7}, str),
    ("feature_extraction", TEXTS, {"pooling": "cls", "normalize": True, "dimensions": 2}, float),
    ("token_vectors", TEXTS, {"normalize": True}, list),
    ("sentence_similarity", SOURCE, {"pooling": "max"}, float),
    ("rerank", QUERY, {"top_n": 2, "return_documents": True, "function_to_apply": "none"}, RankedDocument),
]
IDS = [f"{n}-{method}" for n, (method, *_) in enumerate(CALLS)]


def real(sent: httpx2.Request) -> httpx2.Response:
    """Answer as the function does."""
    return answer_of(make(), sent)


def task_of(method: str) -> str:
    """Return the task that a method calls."""
    return "feature-extraction" if method == "token_vectors" else method.replace("_", "-")


@pytest.mark.parametrize(("method", "inputs", "given", "kind"), CALLS, ids=IDS)
def test_each_task_is_answered_by_both_clients(method: str, inputs: Any, given: Mapping[str, Any], kind: type) -> None:
    """Answers are typed, there is one for each input, and both clients give the same."""
    result: Result[Any] = getattr(client_of(real), method)(inputs, **given)
    assert len(result) == (len(inputs) if isinstance(inputs, list) else 1)
    assert all(isinstance(value[0], kind) for value in result)
    assert result.model == "mini"
    assert len(result.n_tokens) == len(result.n_windows) == len(result.truncated) == len(result)
    assert result.request_id
    later = asyncio.run(getattr(async_client_of(real), method)(inputs, **given))
    assert later.values == result.values


@pytest.mark.parametrize(("method", "inputs", "given", "kind"), CALLS, ids=IDS)
def test_typed_values_are_those_of_the_api(method: str, inputs: Any, given: dict[str, Any], kind: type) -> None:
    """The fields of a typed value have the numbers and words of the answer as it came."""
    typed = getattr(client_of(real), method)(inputs, **given)
    more = {"per_token": True} if method == "token_vectors" else {}
    raw = client_of(real).run_task(task_of(method), inputs, given | more)
    numbers = sorted(leaf for value in typed for leaf in leaves(value))
    assert set(numbers) <= {leaf for value in raw for leaf in leaves(value)}
    assert numbers


def leaves(value: Any) -> list[str]:
    """Return every number and text in a value, as text; None is left out."""
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in leaves(each)]
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if hasattr(value, "__dataclass_fields__"):
        return leaves(asdict(value))
    return [] if value is None else [repr(value)]


def test_every_task_and_parameter_has_its_place() -> None:
    """The client has each task, and each parameter of it but those whose answer has another form (`run_task`)."""
    assert set(BY_TASK) == set(TASKS)
    elsewhere = {
        "feature-extraction": {"layers", "attentions", "precision", "per_token"},
        "text-classification": {"position_reset"},
        "fill-mask": {"position_reset"},
    }
    for name, task in TASKS.items():
        flow = getattr(tasks, name.replace("-", "_"), None) or getattr(vectors, name.replace("-", "_"))
        given = set(inspect.signature(flow).parameters) - {"api", "inputs", "model"}
        assert given == set(task.parameters.model_fields) - elsewhere.get(name, set()), name


def test_every_method_has_an_example() -> None:
    """Each method says what it does, and shows a call."""
    methods = {name: found for name, found in vars(ApiMethods).items() if isinstance(found, Method)}
    assert len(methods) >= 18
    for name, found in methods.items():
        assert f"client.{name}(" in (found.__doc__ or ""), name


def test_other_routes() -> None:
    """Tokens, models, readiness and any other route are answered, too."""
    client = client_of(real)
    tokens = client.tokenize(TEXTS, add_special_tokens=False)
    assert [len(each.ids) == len(each.offsets) for each in tokens] == [True, True]
    assert client.detokenize(tokens[1].ids).only == TEXTS[1]
    models = client.models()
    assert models.defaults["fill-mask"] == "mini:mlm"
    assert models.models[0].heads["mlm"].tasks == ("fill-mask",)
    assert client.ready()
    assert client.call("GET", "/v1/openapi.json")["info"] == document()["info"]


def test_vectors_become_a_matrix() -> None:
    """A library for numbers takes a result of vectors as it is."""
    result = client_of(real).feature_extraction(TEXTS)
    assert np.array(result).shape == (2, 4)


def test_one_input_has_one_answer() -> None:
    """`only` is for one input, and says so for several."""
    result = client_of(real).text_classification(TEXTS)
    assert result[0][0].score >= 0
    with pytest.raises(ValueError, match="got answers to 2 inputs"):
        _ = result.only


def test_a_refusal_of_the_task_is_raised() -> None:
    """What the task cannot take is an error with the API's own words."""
    with pytest.raises(Unprocessable, match=r"got 0|expected"):
        client_of(real).fill_mask("no mask here", top_k=0)


def test_an_answer_of_another_version_is_named() -> None:
    """A field that is missing is an error that names it, and a field that is new is passed over."""
    older = {"model": "mini", "results": [[{"label": "sports"}]]}
    with pytest.raises(BadAnswer, match="KeyError\\('score'\\)"):
        client_of(lambda _: httpx2.Response(200, json=older)).text_classification("x")
    newer = {"model": "mini", "results": [[{"label": "sports", "score": 0.5, "new": 1}]], "new": {}}
    answered = client_of(lambda _: httpx2.Response(200, json=newer)).text_classification("x")
    assert answered.only == [Label("sports", 0.5)]


def test_a_mask_alone_is_a_list_of_one() -> None:
    """There is one list of guesses for each mask, also for a single one."""
    [guesses] = client_of(real).fill_mask("Paris is the <mask> of France.", top_k=2).only
    assert len(guesses) == 2
    assert isinstance(guesses[0], FilledMask)


@pytest.mark.parametrize("make_client", [Client, AsyncClient])
def test_address_and_key_come_from_the_environment(
    make_client: Callable[..., Client | AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given counts; what is not given comes from the environment, and an empty key means none."""
    monkeypatch.setenv("GLOSSA_API_URL", URL)
    monkeypatch.setenv("GLOSSA_API_KEY", "of-the-environment")
    assert (make_client().target.base_url, make_client().target.api_key) == (URL, "of-the-environment")
    assert make_client("http://127.0.0.1:1", api_key="given").target.api_key == "given"
    assert make_client(api_key="").target.api_key is None


def test_the_client_needs_httpx_alone() -> None:
    """A program that imports the client loads no other part of the checkout, and httpx2 later."""
    others = "httpx2 click rich pydantic botocore shared functions serve local asyncio numpy"
    program = (
        "import sys; from glossa.client import Client\n"
        f"print(sorted({{name.split('.')[0] for name in sys.modules}} & set('{others}'.split())))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_helpers_are_no_methods() -> None:
    """What both clients have are the functions of these modules, all of those that return a flow."""
    has = {found.flow for found in vars(ApiMethods).values() if isinstance(found, Method)}
    helpers = {"called", "given_of", "result_of", "read_answer"}
    public = {
        function
        for module in (answering, routes, tasks, vectors)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name not in helpers
    }
    assert has == public
