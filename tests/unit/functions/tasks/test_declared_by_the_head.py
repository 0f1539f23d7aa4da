"""Vectors and scores follow what the head declares, as sentence-transformers computes them; the request may differ."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head, Model
from shared.errors import Unprocessable
from tests.unit.functions.task_requests import LONG, infer_rows, run_request
from tests.unit.functions.tokenizers import tiny

PROMPTS = {"query": "query: ", "passage": "Der Text: "}
TEXTS = ["Alle Menschen", "a", "x </s> y"]
Reference = Callable[..., list[float]]


@pytest.fixture(scope="module")
def network(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Draw a backbone beside the tiny tokenizer."""
    folder = tmp_path_factory.mktemp("declared")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    return tiny.write_checkpoint(folder, "backbone").eval()


@pytest.fixture(scope="module")
def reference(network: Any, tiny_folder: Path) -> Reference:
    """Return the three steps of sentence-transformers: a transformer, then pooling, then length 1."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tiny_folder))

    def run(text: str, pooling: str, *, normalize: bool = True) -> list[float]:
        with torch.no_grad():
            states = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vector = {"mean": states.mean(0), "cls": states[0], "max": states.max(0).values}[pooling]
        vector = torch.nn.functional.normalize(vector, dim=0) if normalize else vector
        found: list[float] = vector.tolist()
        return found

    return run


def embedder(model: Model, **declared: Any) -> Model:
    """Return a model whose only head declares this."""
    also = ("sentence-similarity", "rerank")
    facts = {"task": "feature-extraction", "also": also, "normalize": True, "prompts": PROMPTS, **declared}
    return model.model_copy(update={"heads": {"embed": Head.model_validate(facts)}})


def run(model: Model, tokenizer: Tokenizer, network: Any, task: str, inputs: Any, **parameters: Any) -> list[Any]:
    """Answer one request with the forward pass of transformers."""
    body = {"inputs": inputs, "parameters": parameters}
    return list(run_request(model, tokenizer, body, task, tiny.reference_infer(network)).values)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
@pytest.mark.parametrize("name", ["", "query", "passage"])
def test_vectors_are_those_of_sentence_transformers(
    pooling: str, name: str, model: Model, tokenizer: Tokenizer, network: Any, reference: Reference
) -> None:
    """Declared pooling, then length 1, over the prompt and the text: the named prompt, or else the default one."""
    declared = embedder(model, pooling=pooling)
    chosen = {"prompt_name": name} if name else {}
    found = run(declared, tokenizer, network, "feature-extraction", TEXTS, **chosen)
    expected = [reference(PROMPTS.get(name, "") + text, pooling) for text in TEXTS]
    assert found == [pytest.approx(vector, abs=1e-5) for vector in expected]
    usual = embedder(model, pooling=pooling, default_prompt=name)
    assert run(usual, tokenizer, network, "feature-extraction", TEXTS) == found


def test_the_request_may_choose_otherwise(
    model: Model, tokenizer: Tokenizer, network: Any, reference: Reference
) -> None:
    """Pooling, length and prompt of a request win over those of the head. Vectors of tokens have their own length."""
    declared = embedder(model, pooling="cls", default_prompt="query")
    own = {"pooling": "max", "normalize": False, "prompt_name": ""}
    found = run(declared, tokenizer, network, "feature-extraction", TEXTS, **own)
    assert found == [pytest.approx(reference(text, "max", normalize=False), abs=1e-5) for text in TEXTS]
    [tokens] = run(declared, tokenizer, network, "feature-extraction", ["a"], per_token=True, prompt_name="")
    assert tokens[0] == pytest.approx(reference("a", "cls", normalize=False), abs=1e-5)


def test_layers_have_length_one_on_request_alone(model: Model, tokenizer: Tokenizer) -> None:
    """The length that a checkpoint declares is that of its vectors; hidden states stay as the layers return them."""
    numbers = infer_rows(lambda _ids: {"vectors": [3.0, 4.0], "hidden_states": [3.0, 4.0]})
    for chosen, states in (({}, [3.0, 4.0]), ({"normalize": True}, [0.6, 0.8])):
        body = {"inputs": ["a"], "parameters": {"layers": [-1], **chosen}}
        [found] = run_request(embedder(model), tokenizer, body, "feature-extraction", numbers).values
        assert found == {"vectors": pytest.approx([0.6, 0.8]), "hidden_states": [pytest.approx(states)]}


def test_windows_are_merged_before_length_one(model: Model, tokenizer: Tokenizer, network: Any) -> None:
    """The vector of a long text has length 1, though it is the mean of several windows."""
    assert len(tokenizer.encode(LONG).ids) > model.max_tokens
    [vector] = run(embedder(model), tokenizer, network, "feature-extraction", [LONG])
    assert math.hypot(*vector) == pytest.approx(1.0)


def test_declared_dimensions_are_the_first_numbers(
    model: Model, tokenizer: Tokenizer, network: Any, reference: Reference
) -> None:
    """Vectors of texts and their cosines are cut before length 1; a request may ask for more; tokens stay whole."""
    declared = embedder(model, dimensions=3)
    whole = torch.tensor([reference(text, "mean", normalize=False) for text in TEXTS])
    cut = torch.nn.functional.normalize(whole[:, :3])
    found = run(declared, tokenizer, network, "feature-extraction", TEXTS)
    assert found == [pytest.approx(vector, abs=1e-5) for vector in cut.tolist()]
    [cosine] = run(declared, tokenizer, network, "sentence-similarity", [{"text": TEXTS[0], "texts": [TEXTS[1]]}])[0]
    assert cosine == pytest.approx(float(cut[0] @ cut[1]), abs=1e-5)
    assert len(run(declared, tokenizer, network, "feature-extraction", ["a"], dimensions=5)[0]) == 5
    [tokens] = run(declared, tokenizer, network, "feature-extraction", ["a"], per_token=True)
    assert len(tokens[0]) == whole.shape[1]


def test_a_prompt_may_be_empty(model: Model, tokenizer: Tokenizer, network: Any, reference: Reference) -> None:
    """An empty prompt is asked for by its name; a reranker takes the next name that has a text."""
    declared = embedder(model, prompts={"query": "", "document": "", "passage": "Der Text: "}, default_prompt="passage")
    [found] = run(declared, tokenizer, network, "feature-extraction", ["a"], prompt_name="document")
    assert found == pytest.approx(reference("a", "mean"), abs=1e-5)
    [[ranked]] = run(declared, tokenizer, network, "rerank", [{"query": "a", "documents": ["x"]}])
    query, document = torch.tensor(reference("a", "mean")), torch.tensor(reference("Der Text: x", "mean"))
    assert ranked["score"] == pytest.approx(float(query @ document), abs=1e-5)


@pytest.mark.parametrize("default", ["", "query"])
@pytest.mark.parametrize("names", [("query", "passage"), ("query", "document"), ("query", "corpus"), ("query", "")])
def test_an_embedder_reranks_with_the_prompts_of_both_sides(
    names: tuple[str, str], default: str, model: Model, tokenizer: Tokenizer, network: Any, reference: Reference
) -> None:
    """The query has the prompt `query`, and documents theirs under any of its names, whatever the default one is."""
    prompts = {name: text for name, text in zip(names, PROMPTS.values(), strict=True) if name}
    declared = embedder(model, prompts=prompts, pooling="cls", default_prompt=default)
    pair = {"query": TEXTS[0], "documents": TEXTS}
    [ranked] = run(declared, tokenizer, network, "rerank", [pair])
    source = torch.tensor(reference(prompts.get(names[0], "") + TEXTS[0], "cls"))
    others = torch.tensor([reference(prompts.get(names[1], "") + text, "cls") for text in TEXTS])
    assert {entry["index"]: entry["score"] for entry in ranked} == pytest.approx(
        dict(enumerate((others @ source).tolist())), abs=1e-5
    )


def test_similar_sentences_have_one_prompt(
    model: Model, tokenizer: Tokenizer, network: Any, reference: Reference
) -> None:
    """Sentences are compared as equals: all have the prompt that the request names."""
    pair = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    [found] = run(embedder(model), tokenizer, network, "sentence-similarity", [pair], prompt_name="query")
    first, *others = [torch.tensor(reference(f"query: {text}", "mean")) for text in TEXTS]
    assert found == pytest.approx([float(first @ other) for other in others], abs=1e-5)


@pytest.mark.parametrize(("prompts", "said"), [(PROMPTS, "expected one of passage, query"), ({}, "expected none")])
def test_an_unknown_prompt_names_those_that_there_are(
    prompts: dict[str, str], said: str, model: Model, tokenizer: Tokenizer, network: Any
) -> None:
    """A prompt that the head does not declare is a 422."""
    with pytest.raises(Unprocessable, match=f"prompt_name: got 'web' for head tiny:embed, {said}"):
        run(embedder(model, prompts=prompts), tokenizer, network, "feature-extraction", ["a"], prompt_name="web")


def scored(model: Model, tokenizer: Tokenizer, head: dict[str, Any], task: str, body: dict[str, Any]) -> Any:
    """Answer a request with a classifier whose logits grow with the second id of a row, from -40 to 40."""
    facts = {"task": "text-classification", "prefix": "c", "also": ("rerank",), **head}
    other = model.model_copy(update={"heads": {"c": Head.model_validate(facts)}})
    places = {tokenizer.encode(text).ids[0]: logit for text, logit in LOGITS.items()}
    numbers = infer_rows(lambda ids: {"logits": [next(places[i] for i in reversed(ids) if i in places)]})
    [value] = run_request(other, tokenizer, body, task, numbers).values
    return value


LOGITS = {"a": -40.0, "Alle": 39.5, "Menschen": 40.0}


@pytest.mark.parametrize(("declared", "applied"), [("", "sigmoid"), ("sigmoid", "sigmoid"), ("identity", "none")])
def test_a_reranker_scores_as_declared_and_orders_by_logit(
    declared: str, applied: str, model: Model, tokenizer: Tokenizer
) -> None:
    """Sigmoids are in double precision, so -40 is no 0. Logits that both round to 1 keep their order."""
    head = {"labels": ("LABEL_0",), "activation": declared, "problem_type": "multi_label_classification"}
    body = {"inputs": {"query": "xyz", "documents": list(LOGITS)}}
    for parameters in ({}, {"function_to_apply": applied}):
        ranked = scored(model, tokenizer, head, "rerank", body | {"parameters": parameters})
        assert [entry["index"] for entry in ranked] == [2, 1, 0]
        expected = -40.0 if applied == "none" else math.exp(-40) / (1 + math.exp(-40))
        assert ranked[-1]["score"] == pytest.approx(expected, rel=1e-12)
    [best] = scored(model, tokenizer, head, "text-classification", {"inputs": ["a"]})
    assert best == {"label": "LABEL_0", "score": pytest.approx(expected, rel=1e-12)}


def test_labels_of_equal_scores_are_in_the_order_of_their_logits(model: Model, tokenizer: Tokenizer) -> None:
    """Two sigmoids that round to 1 are told apart by their logits."""
    head = Head(
        task="text-classification", prefix="c", labels=("low", "high"), problem_type="multi_label_classification"
    )
    other = model.model_copy(update={"heads": {"c": head}})
    infer = infer_rows(lambda _: {"logits": [39.5, 40.0]})
    [value] = run_request(other, tokenizer, {"inputs": ["a"]}, "text-classification", infer).values
    assert value == [{"label": "high", "score": 1.0}]


def test_a_linear_head_answers_as_any_classifier(model: Model, tokenizer: Tokenizer) -> None:
    """A classifier of one linear layer gives logits, so it answers every task of a classifier."""
    head = {"labels": ("LABEL_0",), "variant": "linear", "activation": "identity"}
    [best] = scored(model, tokenizer, head, "text-classification", {"inputs": ["a"]})
    assert best == {"label": "LABEL_0", "score": -40.0}
    ranked = scored(model, tokenizer, head, "rerank", {"inputs": {"query": "xyz", "documents": list(LOGITS)}})
    assert [entry["index"] for entry in ranked] == [2, 1, 0]


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "single_label_classification"])
def test_identity_gives_the_logits_of_every_label(problem_type: str, model: Model, tokenizer: Tokenizer) -> None:
    """A declared Identity holds for a head of several labels too, unless the request names a function."""
    labels, logits = ("low", "middle", "high"), (-40.0, 0.5, 7.0)
    facts = {"prefix": "c", "labels": labels, "problem_type": problem_type, "activation": "identity"}
    head = Head.model_validate({"task": "text-classification", **facts})
    other = model.model_copy(update={"heads": {"c": head}})
    infer = infer_rows(lambda _: {"logits": list(logits)})
    body: dict[str, Any] = {"inputs": ["a"], "parameters": {"top_k": None}}
    [value] = run_request(other, tokenizer, body, "text-classification", infer).values
    assert value == [
        {"label": "high", "score": 7.0},
        {"label": "middle", "score": 0.5},
        {"label": "low", "score": -40.0},
    ]
    body["parameters"]["function_to_apply"] = "sigmoid"
    [value] = run_request(other, tokenizer, body, "text-classification", infer).values
    assert value[1]["score"] == pytest.approx(1 / (1 + math.exp(-0.5)), rel=1e-12)
