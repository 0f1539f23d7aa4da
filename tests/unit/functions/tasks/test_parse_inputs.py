"""Each task's inputs are read as its users spell them; what a task cannot take is named, with what it can."""

from __future__ import annotations

from typing import Any

import pytest

from functions.http.text_json import parse_request
from functions.messages import TextInput
from functions.pipeline.request_limits import RequestLimits
from functions.tasks.parse import parse_input, parse_parameters
from functions.tasks.registry import TASK_NAMES
from shared.errors import GlossaError, TooLarge, Unprocessable
from tests.unit.functions.http.bodies import BODIES, good


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        ("text-classification", "a", TextInput("a")),
        ("text-classification", {"text": "a", "text_pair": None}, TextInput("a")),
        ("text-classification", {"text": "a", "lang": "en"}, TextInput("a", lang="en")),
        ("fill-mask", {"text": "a", "text_pair": "b", "lang": ["en", "fr"]}, TextInput("a", "b", (), "en", "fr")),
        ("question-answering", {"question": "q", "context": "c"}, TextInput("q", "c")),
        ("question-answering", {"text": "q", "text_pair": "c"}, TextInput("q", "c")),
        ("question-answering", {"question": "q", "context": "c", "lang": "de"}, TextInput("q", "c", (), "de")),
        ("zero-shot-classification", {"sequences": "a"}, TextInput("a")),
        ("zero-shot-classification", {"sequence": "a"}, TextInput("a")),
        ("multiple-choice", {"prompt": "a", "choices": ["b", "c"]}, TextInput("a", texts=("b", "c"))),
        ("multiple-choice", {"text": "a", "choices": ["b"], "text_pair": None}, TextInput("a", texts=("b",))),
        ("rerank", {"query": "a", "documents": ["b"]}, TextInput("a", texts=("b",))),
        ("rerank", {"query": "a", "texts": ["b"], "lang": ["en", "de"]}, TextInput("a", None, ("b",), "en", "de")),
        ("sentence-similarity", {"source_sentence": "a", "sentences": ["b"]}, TextInput("a", texts=("b",))),
        ("text-generation", {"prompt": "a"}, TextInput("a")),
    ],
)  # fmt: skip
def test_users_spellings_are_read(task: str, value: object, expected: TextInput) -> None:
    """The field names of transformers and of the servers people come from are known."""
    assert parse_input(value, "here", task) == expected


@pytest.mark.parametrize(
    ("task", "value", "message"),
    [
        ("question-answering", "q", 'here: got a string, expected an object with "question" and "context"'),
        ("question-answering", {"question": "q"}, 'here: got no "context", expected one'),
        ("question-answering", {"context": "c"}, 'here: got no "question", expected one'),
        ("question-answering", {"question": "q", "context": ""}, "here.context: got an empty text"),
        ("question-answering", {"question": "q", "context": " \n"}, "here.context: got a text of only spaces"),
        (
            "question-answering",
            {"question": "q", "text_pair": "c"},
            "here: unknown field 'text_pair'|got a \"text_pair",
        ),
        ("multiple-choice", {"prompt": "a"}, 'here: got no "choices", expected one'),
        ("multiple-choice", {"prompt": "a", "choices": []}, "here.choices: got an empty list, expected at least one"),
        ("multiple-choice", {"prompt": "a", "choices": "b"}, "here.choices: got a string, expected a list of texts"),
        ("rerank", {"query": "a", "documents": ["b", ""]}, r"here.documents\[1\]: got an empty text"),
        ("rerank", {"query": "a", "documents": ["b", 3]}, r"here.documents\[1\]: got a number, expected a text"),
        ("rerank", {"query": "a", "docs": ["b"]}, 'unknown field \'docs\', expected "query", "documents", "lang"'),
        ("sentence-similarity", "a", 'got a string, expected an object with "source_sentence" and "sentences"'),
        ("text-classification", {"text": "a", "lang": 3}, "here.lang: got 3, expected the name of a language"),
        ("text-classification", {"text": "a", "lang": ""}, "here.lang: got '', expected the name"),
        ("text-classification", {"text": "a", "lang": ["en", "de"]}, "here.lang: got a list of 2, expected one, as a"),
        ("rerank", {"query": "a", "documents": ["b"], "lang": ["en"]}, "here.lang: got a list of 1, expected two"),
        ("token-classification", {"text": "a", "x": None}, "here: unknown field 'x'"),
    ],
)
def test_other_inputs_are_refused_by_name(task: str, value: object, message: str) -> None:
    """A missing, empty, strange or misspelled part of an input is named with what was expected."""
    with pytest.raises(Unprocessable, match=message):
        parse_input(value, "here", task)


def test_lists_of_texts_are_bounded() -> None:
    """An input may hold a thousand texts to compare, no more."""
    assert len(parse_input({"query": "a", "documents": ["b"] * 1000}, "here", "rerank").texts) == 1000
    with pytest.raises(TooLarge, match=r"here\.documents: got 1001 texts, at most 1000"):
        parse_input({"query": "a", "documents": ["b"] * 1001}, "here", "rerank")


@pytest.mark.parametrize(
    ("task", "inputs", "parameters", "message"),
    [
        ("zero-shot-classification", ["a"] * 21, {"candidate_labels": ["l"] * 200}, "got 4200 texts to read"),
        ("zero-shot-classification", "a" * 500_000, {"candidate_labels": ["l", "m"]}, "got 1000036 characters of text"),
        ("rerank", [{"query": "a", "documents": ["b"] * 1000}] * 5, {}, "got 5000 texts to read for 5 inputs, at most"),
        ("rerank", {"query": "a" * 2000, "documents": ["b"] * 600}, {}, "got 1200600 characters of text"),
        ("multiple-choice", {"prompt": "a", "choices": ["\ufdfa" * 60_000]}, {}, "that stand for 1080001, at most"),
        ("question-answering", {"question": "a", "context": "b" * 1_000_000}, {}, "got 1000001 characters"),
    ],
)  # fmt: skip
def test_bounds_count_what_the_model_reads(task: str, inputs: object, parameters: dict[str, Any], message: str) -> None:
    """Labels, documents and choices count, and what is read beside each of them counts each time."""
    with pytest.raises(TooLarge, match=message) as caught:
        parse_request(task, good(task, inputs, **parameters))
    assert "POST /v1/jobs" in str(caught.value.hint)


def test_bounds_are_the_callers_to_set() -> None:
    """A door with other bounds says so."""
    body = {"inputs": {"query": "a", "documents": ["b", "c", "d"]}}
    assert parse_request("rerank", body, limits=RequestLimits(max_texts=3)).task == "rerank"
    with pytest.raises(TooLarge, match="got 3 texts to read for 1 inputs, at most 2"):
        parse_request("rerank", body, limits=RequestLimits(max_texts=2))


def test_labels_are_read_as_transformers_reads_them() -> None:
    """A list, or one string with commas between."""
    task = "zero-shot-classification"
    assert parse_parameters(task, {"candidate_labels": " a, b ,, c"}).model_dump()["candidate_labels"] == (
        "a",
        "b",
        "c",
    )
    assert parse_parameters(task, {"candidate_labels": ["a, b"]}).model_dump()["candidate_labels"] == ("a, b",)


RANGES = [
    ("zero-shot-classification", {}, "got no parameters.candidate_labels"),
    ("zero-shot-classification", {"candidate_labels": []}, r"candidate_labels: got \[\], expected at least 1 item"),
    ("zero-shot-classification", {"candidate_labels": " , "}, "candidate_labels: got .*, expected at least 1 item"),
    (
        "zero-shot-classification",
        {"candidate_labels": ["a", " "]},
        "candidate_labels.1: got ' ', expected a label of at least one character that is not white space",
    ),
    ("zero-shot-classification", {"candidate_labels": [3]}, "candidate_labels.0: got 3, expected a string"),
    ("zero-shot-classification", {"candidate_labels": ["a"] * 257}, "at most 256 items"),
    ("zero-shot-classification", {"candidate_labels": "a", "hypothesis_template": "b"}, "hypothesis_template: got 'b'"),
    (
        "zero-shot-classification",
        {"candidate_labels": "a", "hypothesis_template": "{}{}"},
        "expected a template with exactly one {}",
    ),
    ("zero-shot-classification", {"candidate_labels": "a", "hypothesis_template": "{0}"}, "hypothesis_template: got"),
    (
        "zero-shot-classification",
        {"candidate_labels": "a", "multi_label": 1},
        "multi_label: got 1, expected true",
    ),
    ("question-answering", {"top_k": 0}, "top_k: got 0, expected greater than or equal to 1"),
    ("question-answering", {"top_k": 101}, "top_k: got 101, expected less than or equal to 100"),
    ("question-answering", {"doc_stride": -1}, "doc_stride: got -1"),
    ("question-answering", {"max_seq_len": 7}, "max_seq_len: got 7"),
    ("question-answering", {"max_answer_len": 0}, "max_answer_len: got 0"),
    ("question-answering", {"align_to_words": "yes"}, "align_to_words: got 'yes', expected true or false"),
    ("question-answering", {"handle_impossible_answer": None}, "handle_impossible_answer: got null"),
    ("multiple-choice", {"truncation": "only_first"}, "truncation: got 'only_first'"),
    ("rerank", {"top_n": 0}, "top_n: got 0"),
    ("rerank", {"function_to_apply": "softmax"}, "function_to_apply: got 'softmax', expected 'default', 'none'"),
    ("rerank", {"return_documents": 1}, "return_documents: got 1"),
    ("sentence-similarity", {"pooling": "sum"}, "pooling: got 'sum', expected 'mean', 'cls' or 'max'"),
    ("text-generation", {"max_new_tokens": 0}, "max_new_tokens: got 0"),
    ("text-generation", {"max_new_tokens": 5000}, "max_new_tokens: got 5000"),
    ("text-generation", {"temperature": 0}, "temperature: got 0, expected greater than 0"),
    ("text-generation", {"top_p": 1.5}, "top_p: got 1.5, expected less than or equal to 1"),
    ("text-generation", {"top_k": -1}, "top_k: got -1"),
    ("text-generation", {"seed": -1}, "seed: got -1"),
    ("text-generation", {"num_return_sequences": 17, "do_sample": True}, "num_return_sequences: got 17"),
    ("text-generation", {"num_return_sequences": 2}, "got num_return_sequences 2 without do_sample, expected 1"),
]


@pytest.mark.parametrize(("task", "parameters", "message"), RANGES)
def test_parameters_out_of_range_are_named(task: str, parameters: dict[str, Any], message: str) -> None:
    """Each is a 422 that gives the value and what was expected."""
    with pytest.raises(Unprocessable, match=message) as caught:
        parse_parameters(task, parameters)
    assert caught.value.status == 422


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_has_a_good_request_and_refuses_an_unknown_parameter(task: str) -> None:
    """The good request of each task is taken; with one parameter more that nobody knows, it is not."""
    assert parse_request(task, BODIES[task]).inputs
    with pytest.raises(GlossaError, match=f"unknown parameter 'beams' of {task}; parameters: "):
        parse_request(task, good(task, beams=3))
