"""What the serving benchmarks count, and the bound they hold waits against."""

from __future__ import annotations

import json

from benchmarks.harness.servers import Served, request_of
from benchmarks.scheduler import class_of, wait_bound_s
from benchmarks.serving import questions_of, tokens_answered
from shared.protocol import CallLimits, decode_call

ROWS = [[0, *range(5, 5 + n), 2] for n in range(1, 8)]
TEXTS = [f"text {n}" for n in range(7)]
LIMITS = CallLimits(max_body_bytes=1 << 20, max_rows=64, max_tokens=512, max_row_tokens=64, vocab_size=100)


def test_every_text_is_asked_once_a_turn() -> None:
    """Grouping and shuffling lose no row and keep texts beside their rows."""
    questions = questions_of(ROWS, TEXTS, 3)
    assert [len(question.rows) for question in questions] == [3, 3, 1]
    pairs = [pair for question in questions for pair in zip(question.rows, question.texts, strict=True)]
    assert sorted(pairs) == sorted((tuple(row), text) for row, text in zip(ROWS, TEXTS, strict=True))


def test_tokens_are_those_of_the_requests_answered() -> None:
    """Requests go in turn, so that two and a half turns count twice all and the first half."""
    questions = questions_of(ROWS, TEXTS, 1)
    whole = sum(map(len, ROWS))
    assert tokens_answered(questions, 0) == 0
    assert tokens_answered(questions, 7) == whole
    assert tokens_answered(questions, 16) == 2 * whole + questions[0].n_tokens + questions[1].n_tokens


def test_all_systems_are_asked_the_same() -> None:
    """Ours in the packed binary form, peers in JSON: the same ids; a system that reads texts gets the texts."""
    question = questions_of(ROWS, TEXTS, 2)[0]
    head, _, data = request_of(Served("a", "ours"), question, 80).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
    call = decode_call("bench", headers, data, LIMITS).call
    assert call.input_ids.int_values().tolist() == [token for row in question.rows for token in row]
    peer = request_of(Served("b", "litserve"), question, 80).partition(b"\r\n\r\n")[2]
    assert json.loads(peer)["rows"] == [list(row) for row in question.rows]
    reader = request_of(Served("c", "infinity", sent="texts"), question, 80).partition(b"\r\n\r\n")[2]
    assert json.loads(reader)["input"] == list(question.texts)


def test_length_classes_are_those_of_the_promise() -> None:
    """At most 128 tokens is short, over 256 is long."""
    sizes = {128: "short", 129: "middle", 256: "middle", 257: "long"}
    assert {n: class_of(n) for n in sizes} == sizes


def test_the_bound_of_a_wait_grows_with_what_is_before_a_row_and_falls_with_speed() -> None:
    """More tokens before it, or a slower engine, allow a longer wait; an empty queue allows a few passes."""
    few, many = (wait_bound_s(n, 512, 600, 1000.0) for n in (0, 10_000))
    assert 0 < few < many
    assert wait_bound_s(10_000, 512, 600, 2000.0) == many / 2
