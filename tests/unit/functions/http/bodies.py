"""One valid request body for each task, and parameters that are out of range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BODIES: Mapping[str, Mapping[str, Any]] = {
    "feature-extraction": {"inputs": "The river rises."},
    "fill-mask": {"inputs": "The river <mask> rises."},
    "multiple-choice": {"inputs": {"prompt": "The river rises.", "choices": ["It rained.", "It is dry.", "A cat."]}},
    "question-answering": {"inputs": {"question": "What rises?", "context": "After the rain, the river rises."}},
    "rerank": {"inputs": {"query": "high water", "documents": ["The river rises.", "A cat.", "Das Wasser steigt."]}},
    "sentence-similarity": {"inputs": {"source_sentence": "The river rises.", "sentences": ["Water.", "A cat."]}},
    "text-classification": {"inputs": "The river rises."},
    "text-generation": {"inputs": "The river"},
    "token-classification": {"inputs": "The river Rhine rises in Basel."},
    "zero-shot-classification": {
        "inputs": "The river rises.",
        "parameters": {"candidate_labels": ["weather", "sports", "politics"]},
    },
}

LONG_FIELD = {"question-answering": "context"}


def valid_body(task: str, inputs: Any = None, **parameters: Any) -> dict[str, Any]:
    """Return a valid request body of a task, with other inputs or additional parameters."""
    usual = BODIES[task]
    return {
        "inputs": usual["inputs"] if inputs is None else inputs,
        "parameters": {**usual.get("parameters", {}), **parameters},
    }


def with_text(task: str, text: str) -> Any:
    """Return a valid input of a task. Its text that may be long is `text`."""
    usual = BODIES[task]["inputs"]
    return text if isinstance(usual, str) else {**usual, LONG_FIELD.get(task, next(iter(usual))): text}


# task, parameters, pattern of the message
OUT_OF_RANGE = [
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
    ("question-answering", {"handle_impossible_answer": 1}, "handle_impossible_answer: got 1"),
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
