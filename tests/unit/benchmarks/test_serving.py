"""The serving benchmarks count tokens rightly and send all servers the same, and their bound of waits is sound."""

from __future__ import annotations

import json

from benchmarks.harness.servers import Server, request_of
from benchmarks.scheduler import class_of, wait_bound_s
from benchmarks.serving import group_requests, tokens_answered
from shared.protocol import CallLimits, decode_call

ROWS = [[0, *range(5, 5 + n), 2] for n in range(1, 8)]
TEXTS = [f"text {n}" for n in range(7)]
LIMITS = CallLimits(max_body_bytes=1 << 20, max_rows=64, max_tokens=512, max_row_tokens=64, vocab_size=100)


def test_every_text_is_sent_once() -> None:
    """Grouping and shuffling lose no row and keep each text with its row."""
    request_inputs = group_requests(ROWS, TEXTS, 3)
    assert [len(request_input.rows) for request_input in request_inputs] == [3, 3, 1]
    pairs = [
        pair for request_input in request_inputs for pair in zip(request_input.rows, request_input.texts, strict=True)
    ]
    assert sorted(pairs) == sorted((tuple(row), text) for row, text in zip(ROWS, TEXTS, strict=True))


def test_tokens_are_those_of_the_requests_answered() -> None:
    """Requests are sent in order, so 16 answers to 7 requests count all of them twice and the first two again."""
    request_inputs = group_requests(ROWS, TEXTS, 1)
    whole = sum(map(len, ROWS))
    assert tokens_answered(request_inputs, 0) == 0
    assert tokens_answered(request_inputs, 7) == whole
    assert tokens_answered(request_inputs, 16) == 2 * whole + request_inputs[0].n_tokens + request_inputs[1].n_tokens


def test_all_servers_get_the_same_rows() -> None:
    """Ours gets packed ids, peers get the same ids as JSON, and a server that reads texts gets the texts."""
    request_input = group_requests(ROWS, TEXTS, 2)[0]
    head, _, data = request_of(Server("a", "ours"), request_input, 80).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
    call = decode_call("bench", headers, data, LIMITS).call
    assert call.input_ids.int_values().tolist() == [token for row in request_input.rows for token in row]
    peer = request_of(Server("b", "litserve"), request_input, 80).partition(b"\r\n\r\n")[2]
    assert json.loads(peer)["rows"] == [list(row) for row in request_input.rows]
    reader = request_of(Server("c", "infinity", sent="texts"), request_input, 80).partition(b"\r\n\r\n")[2]
    assert json.loads(reader)["input"] == list(request_input.texts)


def test_length_classes_are_those_of_the_goal() -> None:
    """At most 128 tokens are short, over 256 are long."""
    sizes = {128: "short", 129: "middle", 256: "middle", 257: "long"}
    assert {n: class_of(n) for n in sizes} == sizes


def test_the_bound_of_a_wait_grows_with_the_tokens_before_a_row_and_falls_with_speed() -> None:
    """More tokens before a row, or a slower engine, allow a longer wait. An empty queue allows a few passes."""
    few, many = (wait_bound_s(n, 512, 600, 1000.0) for n in (0, 10_000))
    assert 0 < few < many
    assert wait_bound_s(10_000, 512, 600, 2000.0) == many / 2
