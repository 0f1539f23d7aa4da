"""Question answering with beam search reads the candidates that the head returns."""

from __future__ import annotations

import math

import pytest
import torch

from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.task_requests import infer_rows, run_request, tokenize_request


def test_answers_that_differ_in_case_alone_are_one(model: Model, tokenizer: Tokenizer) -> None:
    """`Paris` and `paris` are one answer with the sum of both scores, at the place of the likelier one."""
    inputs = {"question": "a", "context": "b a A a"}
    [window] = tokenize_request(model, tokenizer, "question-answering", inputs).windows
    places = [at for at, span in enumerate(window.offsets) if window.sequence_ids[at] == 1 and span[1] > 1]
    places = [next(at for at in places if window.offsets[at][1] == end) for end in (3, 5, 7)]
    ranks = [0.2, 0.5, 0.3]
    outputs = {
        "start_top_log_probs": ranks, "start_top_index": [float(at) for at in places], "cls_logits": [-1.0],
        "end_top_log_probs": ranks, "end_top_index": [float(at) for at in places],
    }  # fmt: skip
    body = {"inputs": inputs, "parameters": {"top_k": 5}, "model": "tiny:beam"}
    [value] = run_request(model, tokenizer, body, "question-answering", infer_rows(lambda _: outputs)).values
    assert value == {"score": pytest.approx(1.0), "start": 4, "end": 5, "answer": "A"}


def test_a_beam_answers_from_its_candidates(model: Model, tokenizer: Tokenizer) -> None:
    """Candidates in the question or over the length are dropped. Scores are a softmax of summed log probabilities."""
    [window] = tokenize_request(model, tokenizer, "question-answering").windows
    first = window.sequence_ids.index(1)
    outputs = {
        "start_top_log_probs": [0.6, 0.3],
        "start_top_index": [float(first), 1.0],
        "end_top_log_probs": [0.5, 0.4, 0.9, 0.9],
        "end_top_index": [float(first), float(first + 1), float(first), float(first)],
        "cls_logits": [-1.0],
    }
    body = valid_body("question-answering", top_k=5, align_to_words=False, handle_impossible_answer=True)
    infer_candidates = infer_rows(lambda _: outputs)
    [value] = run_request(
        model, tokenizer, body | {"model": "tiny:beam"}, "question-answering", infer_candidates
    ).values
    assert isinstance(value, list)
    scores = torch.tensor([1.1, 1.0]).softmax(0).tolist()
    assert [each["score"] for each in value] == pytest.approx([*scores, 1 / (1 + math.e)], abs=1e-6)
    assert value[0]["start"] == window.offsets[first][0]
    assert value[1]["end"] == window.offsets[first + 1][1]
    assert value[2] == {"score": pytest.approx(1 / (1 + math.e)), "start": 0, "end": 0, "answer": ""}
