"""The wire of text-embeddings-inference: each route at the root and for a named model, and errors in its form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.http.compatible.tei import TeiEmbedAllBody, embed_sparse_answer, embed_sparse_request, info
from functions.messages import Result
from shared.catalog import Catalog, Head
from tests.events import request
from tests.unit.functions.http.compatible.asking import ask, get, own
from tests.unit.functions.http.world import catalog, make, send, tokenizer

RESULT = Result((), "m", "h", (), (), ())


@pytest.mark.parametrize("prefix", ["", "/tei/mini", "/tei/mini:embed"])
def test_vectors_have_length_1_unless_asked_otherwise(prefix: str) -> None:
    """A text or a list is answered with a list of vectors; nulls count as left out."""
    assert ask(f"{prefix}/embed", {"inputs": "a", "truncate": None})[1] == own(
        "feature-extraction", "a", normalize=True
    )
    body = {"inputs": ["a", "b c"], "normalize": False, "dimensions": 2}
    assert ask(f"{prefix}/embed", body)[1] == own("feature-extraction", ["a", "b c"], dimensions=2)


def test_each_token_has_its_vector() -> None:
    """They are those of our route."""
    assert ask("/embed_all", {"inputs": "a b"})[1] == own("feature-extraction", "a b", per_token=True)


def test_token_ids_are_read_as_their_text() -> None:
    """Ids of the model's own tokenizer give the vector of the text."""
    ids = list(tokenizer().encode("The river").ids)
    assert ask("/embed", {"inputs": ids})[1] == ask("/embed", {"inputs": "The river"})[1]


def test_sparse_weights_come_by_token_id() -> None:
    """The head that weighs tokens is found, and asked by its name."""
    sparse = Head(task="feature-extraction", variant="sparse")
    mini = catalog().model("mini").model_copy(update={"heads": {"embed": Head(task="feature-extraction"), "s": sparse}})
    known = Catalog(default_model="mini", models={"mini": mini})
    body = TeiEmbedAllBody(inputs="a")
    assert embed_sparse_request(body, ["a"], known) == {"inputs": ["a"], "model": "mini:s", "parameters": {}}
    result = replace(RESULT, values=([{"token_id": 5, "token": "a", "weight": 0.5}],))
    assert embed_sparse_answer(result) == [[{"index": 5, "value": 0.5}]]


def test_a_model_without_sparse_weights_is_told_apart() -> None:
    """The error names the model that was asked for."""
    assert ask("/tei/plain/embed_sparse", {"inputs": "a"})[1]["error"].startswith("model: got 'plain', which does not")
    assert ask("/embed_sparse", {"inputs": "a"})[1]["error"].startswith("no model has a head that weighs tokens")


def test_texts_and_pairs_are_labelled() -> None:
    """One text or pair is answered with its labels, a list of lists with one list each."""
    everything = own("text-classification", ["a", {"text": "a", "text_pair": "b"}], top_k=None)
    assert ask("/predict", {"inputs": "a"})[1] == everything[0]
    assert ask("/predict", {"inputs": ["a", "b"]})[1] == everything[1]
    assert ask("/predict", {"inputs": [["a"], ["a", "b"]]})[1] == everything
    raw = own("text-classification", "a", top_k=None, function_to_apply="none")
    assert ask("/tei/mini:topic/predict", {"inputs": "a", "raw_scores": True})[1] == raw[0]


def test_texts_come_by_score() -> None:
    """Scores are those of our route; the text comes on request."""
    [wanted] = own("rerank", {"query": "q", "documents": ["a", "b"]})
    _, answer, _ = ask("/rerank", {"query": "q", "texts": ["a", "b"], "return_text": True})
    assert answer == [each | {"text": ["a", "b"][each["index"]]} for each in wanted]


def test_sentences_are_compared() -> None:
    """The cosines are those of our route."""
    inputs = {"source_sentence": "a", "sentences": ["b", "c d"]}
    assert ask("/similarity", {"inputs": inputs, "parameters": None})[1] == own("sentence-similarity", inputs)[0]


def test_tokens_of_a_text_read_as_the_text() -> None:
    """Special tokens have no place; `decode` leaves them out."""
    _, [tokens], _ = ask("/tokenize", {"inputs": "The river"})
    assert [(each["text"], each["start"]) for each in tokens if each["special"]] == [("<s>", None), ("</s>", None)]
    assert "".join(each["text"] for each in tokens if not each["special"]) == "Theriver"
    ids = [each["id"] for each in tokens]
    assert ask("/decode", {"ids": ids})[1] == ["The river"]
    assert ask("/decode", {"ids": [ids, ids[:2]], "skip_special_tokens": False})[1] == ["<s> The river</s>", "<s> The"]


def test_tokens_come_behind_a_named_prompt() -> None:
    """A prompt that the model does not declare is refused by its name."""
    status, answer, _ = ask("/tokenize", {"inputs": "a", "prompt_name": "query"})
    assert (status, "prompt_name: got 'query'" in answer["error"]) == (422, True)


@pytest.mark.parametrize(("path", "field", "value"), [("/tokenize", "inputs", "a"), ("/decode", "ids", [5])])
def test_tokens_come_for_as_many_texts_as_info_says(path: str, field: str, value: object) -> None:
    """The limit is that of the other routes. Above it, no batch job is offered: none makes tokens."""
    most = get("/info")[1]["max_client_batch_size"]
    status, answer, _ = ask(path, {field: [value] * most})
    assert (status, len(answer)) == (200, most)
    status, answer, _ = ask(path, {field: [value] * (most + 1)})
    assert (status, "batch job" in answer["error"]) == (413, False)


def test_a_model_says_what_it_is() -> None:
    """The named head decides the type; without one, the head for vectors."""
    assert get("/info")[1]["model_type"] == {"embedding": {"pooling": "mean"}}
    assert get("/info")[1]["max_concurrent_requests"] > get("/info")[1]["tokenization_workers"] == 1
    ranks = get("/tei/mini:relevance/info")[1]
    assert (list(ranks["model_type"]), ranks["max_client_batch_size"]) == (["reranker"], 1000)
    labels = get("/hf/mini:topic/info")[1]["model_type"]["classifier"]["id2label"]
    assert labels["0"] == "O"
    sparse = info(catalog().model("mini"), Head(task="feature-extraction", variant="sparse"))
    assert sparse["model_type"] == {"embedding": {"pooling": "splade"}}


@pytest.mark.parametrize("path", ["/health", "/tei/mini/health", "/hf/mini:topic/health"])
def test_health_follows_the_model_server(path: str) -> None:
    """It is a 503 while the server takes no calls, and a 404 for a model that is not there."""
    assert get(path)[0] == 200
    assert send(make(up=False), request("GET", path))[0] == 503
    assert get(path.replace("mini", "nope"))[0] == (200 if path == "/health" else 404)


def test_metrics_are_a_page_for_prometheus() -> None:
    """It is text, not JSON."""
    made = make(up=False).resolve(request("GET", "/metrics"), None)
    assert (made["statusCode"], "glossa_ready 0\n" in made["body"]) == (200, True)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/embed", {}, 422),
        ("/embed", {"inputs": []}, 422),
        ("/embed", {"inputs": "a", "truncation_direction": "left"}, 422),
        ("/embed", {"inputs": [[10**9]]}, 422),
        ("/tei/nope/embed", {"inputs": "a"}, 404),
        ("/embed_sparse", {"inputs": "a"}, 422),
        ("/predict", {"inputs": ["a", "b", "c"]}, 422),
        ("/predict", {"inputs": [["a"], []]}, 422),
        ("/predict", {"inputs": 3}, 422),
        ("/tei/mini:embed/predict", {"inputs": "a"}, 422),
        ("/similarity", {"inputs": {"source_sentence": "a"}}, 422),
        ("/decode", {"ids": ["a"]}, 422),
    ],
)
def test_an_error_has_their_form(path: str, body: object, status: int) -> None:
    """`error` says what was got, `error_type` that it was the request."""
    found, answer, _ = ask(path, body)
    assert (found, answer["error_type"], sorted(answer)) == (status, "Validation", ["error", "error_type"])
