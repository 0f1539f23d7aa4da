"""Hugging Face's task-less posts: the task is found, and the bare answer has the form that its clients read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.http.authentication import Auth
from tests.events import request
from tests.unit.functions.http.compatible.asking import ask, own
from tests.unit.functions.http.world import make, send

QUESTION = {"question": "What rises?", "context": "After the rain, the river rises."}
NER = "token-classification"
SENTENCES = {"source_sentence": "a", "sentences": ["b", "c d"]}
LABELS = {"candidate_labels": ["weather", "sports"]}


def labelled(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return our answer of zero-shot-classification as a list of labels."""
    pairs = zip(found["labels"], found["scores"], strict=True)
    return [{"label": label, "score": score} for label, score in pairs]


@pytest.mark.parametrize("model", ["mini", "mini:HEAD"])
@pytest.mark.parametrize(
    ("head", "body", "task", "parameters"),
    [
        ("answers", {"inputs": QUESTION}, "question-answering", {}),
        ("answers", {"inputs": QUESTION, "parameters": {"top_k": 2.0}}, "question-answering", {"top_k": 2}),
        ("embed", {"inputs": SENTENCES, "parameters": {}}, "sentence-similarity", {}),
        ("embed", {"inputs": "a", "normalize": True}, "feature-extraction", {"normalize": True}),
        ("mlm", {"inputs": "The <mask> rises"}, "fill-mask", {}),
        ("mlm", {"inputs": "The <mask> rises", "parameters": {"targets": ["sun"]}}, "fill-mask", {"targets": "sun"}),
        ("entities", {"inputs": "A b", "parameters": {"stride": 2, "ignore_labels": None}}, NER, {"stride": 2}),
        ("choice", {"inputs": {"prompt": "a", "choices": ["b", "c"]}}, "multiple-choice", {}),
        ("relevance", {"inputs": {"query": "q", "documents": ["b", "c"]}}, "rerank", {}),
    ],
)  # fmt: skip
def test_the_body_or_the_head_names_the_task(
    model: str, head: str, body: dict[str, Any], task: str, parameters: dict[str, Any]
) -> None:
    """One input is answered with our result for it alone."""
    status, answer, _ = ask(f"/hf/{model.replace('HEAD', head)}", body)
    assert (status, answer) == (200, own(task, body["inputs"], f"mini:{head}", **parameters)[0])


def test_a_list_is_answered_with_a_list() -> None:
    """Each input has its answer, in order."""
    answer = ask("/hf/mini:embed", {"inputs": ["a", "b c"], "truncate": False})[1]
    assert answer == own("feature-extraction", ["a", "b c"])


def test_labels_are_all_there_in_a_list_of_lists() -> None:
    """The clients take the first list; `top_k` makes it shorter."""
    body = {"inputs": "a", "parameters": {"top_k": None, "function_to_apply": None}}
    assert ask("/hf/mini:topic", body)[1] == own("text-classification", "a", top_k=None)
    assert ask("/hf/mini:topic", {"inputs": "a", "parameters": {"top_k": 2}})[1] == own(
        "text-classification", "a", top_k=2
    )


@pytest.mark.parametrize("inputs", ["The river", ["The river"]])
def test_labels_of_the_caller_come_as_a_list(inputs: object) -> None:
    """One text or a list of one: labels with scores, best first."""
    answer = ask("/hf/mini:nli", {"inputs": inputs, "parameters": LABELS})[1]
    assert answer == labelled(own("zero-shot-classification", "The river", **LABELS)[0])


def test_several_answers_are_a_list_even_if_there_is_one() -> None:
    """A caller who asked for more than one answer reads a list."""
    body = {"inputs": {"question": "What?", "context": "river"}, "parameters": {"top_k": 5}}
    assert isinstance(ask("/hf/mini", body)[1], list)


def test_a_continuation_has_the_new_text_alone() -> None:
    """It is a list with one text; sampling needs to be asked for, by any of its parameters."""
    [wanted] = own("text-generation", "The river", return_full_text=False, max_new_tokens=3)
    body = {"inputs": "The river", "parameters": {"max_new_tokens": 3, "watermark": False}, "stream": False}
    assert ask("/hf/mini:lm", body)[1] == wanted
    _, answer, _ = ask("/hf/mini:lm/v1/completions", {"prompt": "The river", "max_tokens": 3, "model": "http://x"})
    assert answer["choices"][0]["text"] == wanted[0]["generated_text"]


def test_what_a_model_does_not_read_is_said_as_the_client_expects() -> None:
    """huggingface_hub finds the names in this sentence, warns its user, and asks again without them."""
    parameters = {"details": True, "repetition_penalty": 1.2, "stop": [], "max_new_tokens": 3}
    status, answer, _ = ask("/hf/mini", {"inputs": "The river", "parameters": parameters})
    told = "The following `model_kwargs` are not used by the model: ['details', 'repetition_penalty']"
    assert (status, answer["error"]) == (400, told)


def test_a_route_for_each_task() -> None:
    """A client that is given the task's own address needs no shape."""
    assert ask("/hf/mini/token-classification", {"inputs": "A b"})[1] == own("token-classification", "A b")[0]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/hf/mini", {"inputs": "a"}, 422),  # several tasks fit
        ("/hf/mini:mlm", {"inputs": "no mask"}, 422),
        ("/hf/mini:topic", {"inputs": "a", "parameters": {"nope": 1}}, 422),
        ("/hf/plain", {"inputs": QUESTION}, 422),
        ("/hf/mini:topic", {"inputs": "a", "parameters": []}, 422),
        ("/hf/mini:topic", {"inputs": "a", "stream": True}, 422),
        ("/hf/mini:topic", {"inputs": None}, 422),
        ("/hf/mini:topic", {"inputs": []}, 422),
        ("/hf/mini:", {"inputs": "a"}, 422),
        ("/hf/nope", {"inputs": "a"}, 404),
        ("/hf/mini:nope", {"inputs": "a"}, 404),
        ("/hf/mini/nope", {"inputs": "a"}, 404),
        ("/hf/mini", [], 400),
    ],
)
def test_an_error_says_what_was_got(path: str, body: object, status: int) -> None:
    """The clients show the body of a 422 to their user."""
    found, answer, _ = ask(path, body)
    assert (found, sorted(answer)) == (status, ["error", "error_type"])


def test_a_scope_of_one_task_does_not_open_the_others() -> None:
    """The gateway cannot see the task of such a post, so the function checks it."""
    api = make(auth=Auth("bearer"))
    said = {"tenant": "key-a", "principal": "key/0", "scopes": "tasks:fill-mask"}
    bodies = {"mini:mlm": {"inputs": "a <mask>"}, "mini:topic": {"inputs": "a"}}
    found = {}
    for model, body in bodies.items():
        raw = request("POST", f"/hf/{model}", json.dumps(body))
        raw["requestContext"]["authorizer"] = said
        found[model] = send(api, raw)[0]
    assert found == {"mini:mlm": 200, "mini:topic": 403}
