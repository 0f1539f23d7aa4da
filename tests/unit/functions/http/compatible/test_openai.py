"""OpenAI's routes: vectors as its clients read them, token ids, continuations, models, and errors in its form."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from tests.unit.functions.http.compatible.asking import ask, get, own
from tests.unit.functions.http.world import tokenizer


def own_vectors(inputs: object, **parameters: Any) -> Any:
    """Return the unit vectors of our own route."""
    return own("feature-extraction", inputs, normalize=True, **parameters)


def test_vectors_are_those_of_our_route_in_both_encodings() -> None:
    """Float and base64 hold the same unit vectors, and `usage` counts the tokens that were read."""
    body = {"input": ["The river", "rises"], "model": "mini", "user": "ada", "dimensions": None}
    status, answer, _ = ask("/v1/embeddings", body)
    assert (status, answer["object"], answer["model"]) == (200, "list", "mini")
    wanted = own_vectors(["The river", "rises"])
    assert [each["embedding"] for each in answer["data"]] == wanted
    _, packed, _ = ask("/v1/embeddings", body | {"encoding_format": "base64"})
    unpacked = [list(struct.unpack("<4f", base64.b64decode(each["embedding"]))) for each in packed["data"]]
    assert unpacked == [pytest.approx(vector) for vector in wanted]
    assert packed["usage"] == answer["usage"]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 4


def test_dimensions_shorten_unit_vectors() -> None:
    """A whole number may come as 2.0, as some clients write it."""
    _, answer, _ = ask("/v1/embeddings", {"input": "The river", "dimensions": 2.0})
    assert [each["embedding"] for each in answer["data"]] == own_vectors("The river", dimensions=2)


def test_ids_of_our_tokenizer_are_read_as_their_text() -> None:
    """One list of ids, several, and ids with special tokens give the vector of the text."""
    ids = list(tokenizer().encode("The river rises").ids)
    wanted = own_vectors(["The river rises"])[0]
    for sent in (ids, [ids], [0, *ids, 2]):
        assert ask("/v1/embeddings", {"input": sent})[1]["data"][0]["embedding"] == wanted


@pytest.mark.parametrize("ids", [[464, 7850, 16736], [32_000], [-1], [[]], [[5], "text"]])
def test_ids_of_another_tokenizer_are_refused(ids: object) -> None:
    """They would read as another text, so they are a 400 that says what to send."""
    status, answer, _ = ask("/v1/embeddings", {"input": ids})
    assert (status, answer["error"]["type"], answer["error"]["param"]) == (400, "invalid_request_error", "input")


def test_a_continuation_has_its_choices_and_counts() -> None:
    """Each prompt has `n` choices in order; `echo` puts the prompt before the new text."""
    body = {"model": "mini:lm", "prompt": ["The river", "Das"], "n": 2, "max_tokens": 2, "echo": True}
    status, answer, _ = ask("/v1/completions", body)
    assert (status, answer["object"]) == (200, "text_completion")
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert [choice["text"].startswith("The river") for choice in answer["choices"]] == [True, True, False, False]
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "length", "stop", "length"]
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_temperature_zero_is_the_continuation_without_sampling() -> None:
    """It equals that of our route, without the prompt."""
    _, answer, _ = ask("/v1/completions", {"prompt": "The river", "temperature": 0, "max_tokens": 3})
    [[wanted]] = own("text-generation", "The river", return_full_text=False)
    assert answer["choices"][0]["text"] == wanted["generated_text"]


def test_fields_that_clients_send_without_effect_are_taken() -> None:
    """LangChain's `OpenAI` sends penalties of 0 with every request."""
    plain = {"prompt": "a", "temperature": 0}
    wanted = ask("/v1/completions", plain)[1]["choices"]
    sent = plain | {"frequency_penalty": 0, "presence_penalty": 0.0, "best_of": 1, "stop": None}
    assert ask("/v1/completions", sent)[1]["choices"] == wanted


def test_models_are_listed_in_both_forms() -> None:
    """`data` is what OpenAI's clients read; `models` is ours, as before."""
    _, answer, _ = get("/v1/models")
    assert [each["id"] for each in answer["data"]] == [each["name"] for each in answer["models"]] == ["mini", "plain"]
    _, one, _ = get("/v1/models/mini")
    wanted = {"id": "mini", "object": "model", "created": 0, "owned_by": "glossa"}
    assert {name: one[name] for name in wanted} == wanted == answer["data"][0]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/embeddings", {"model": "nope", "input": "a"}, 404, None),
        ("/v1/embeddings", {"model": "plain", "input": "a"}, 400, None),
        ("/v1/embeddings", {"model": 3, "input": "a"}, 400, "model"),
        ("/v1/embeddings", {}, 400, "input"),
        ("/v1/embeddings", {"input": "a", "extra": 1}, 400, "extra"),
        ("/v1/embeddings", {"input": ["a"] * 2049}, 413, "input"),
        ("/v1/embeddings", [], 400, None),
        ("/v1/completions", {"prompt": "a", "stream": True}, 400, "stream"),
        ("/v1/embeddings", {"input": ["a", ""]}, 400, "input"),
        ("/v1/embeddings", {"input": "a", "dimensions": 99}, 400, "dimensions"),
        ("/v1/completions", {"prompt": "a", "n": 2, "temperature": 0}, 400, "n"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 4096}, 400, "max_tokens"),
        ("/v1/completions", {"prompt": "a", "presence_penalty": 0.5}, 400, "presence_penalty"),
    ],
)
def test_an_error_has_their_form(path: str, body: object, status: int, param: str | None) -> None:
    """The object `error` says what was got, and which field it was."""
    found, answer, headers = ask(path, body)
    assert (found, list(answer), headers["content-type"]) == (status, ["error"], "application/json")
    assert (answer["error"]["param"], answer["error"]["type"]) == (param, "invalid_request_error")


def test_nobody_is_told_of_a_field_that_is_ours() -> None:
    """No body of OpenAI has `truncation`."""
    status, answer, _ = ask("/v1/completions", {"prompt": "a " * 100})
    assert (status, "truncation" in answer["error"]["message"]) == (413, False)


def test_an_unknown_model_is_an_error_for_both_kinds_of_clients() -> None:
    """The problem stays, and `error` stands beside it."""
    status, answer, headers = get("/v1/models/nope")
    assert (status, answer["status"], headers["content-type"]) == (404, 404, "application/problem+json")
    assert (answer["error"]["code"], answer["error"]["message"]) == ("model_not_found", answer["detail"])
