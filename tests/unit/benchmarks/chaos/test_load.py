"""The load compares each answer with the right one, counts its requests, and is bounded."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable

from benchmarks.chaos.calls import Call
from benchmarks.chaos.load import Corpus, Load, told_apart
from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from tests.loopback import serving

SCORES = {"good": {"a": 0.9, "b": 0.1}, "bad": {"a": 0.2, "b": 0.8}}
CORPUS = Corpus("mini", list(SCORES), list(SCORES.values()))


def _answer(text: str) -> Reply:
    labels = [{"label": name, "score": score} for name, score in SCORES[text].items()]
    body = {"model": "mini", "head": "topic", "results": [labels]}
    return Reply(200, {"content-type": "application/json"}, json.dumps(body).encode())


def _text(sent: SentRequest) -> str:
    inputs = json.loads(sent.data)["inputs"]
    return str(inputs if isinstance(inputs, str) else inputs[0])


def _run(respond: Callable[[SentRequest], Reply], *, per_s: float = 20.0, max_open: int = 64) -> list[Call]:
    with serving(respond) as (address, _):
        load = Load(address, CORPUS, max_open=max_open)
        load.per_s = per_s
        asyncio.run(load.run(0.3))
        return load.calls


def test_right_answers_are_told_from_those_of_other_texts() -> None:
    """A server that answers is right; one that answers with another text's scores is wrong."""
    assert {call.outcome for call in _run(lambda sent: _answer(_text(sent)))} == {"right"}
    other = {"good": "bad", "bad": "good"}
    assert {call.outcome for call in _run(lambda sent: _answer(other[_text(sent)]))} == {"wrong"}


def test_a_refused_call_is_sent_once_more() -> None:
    """Both requests are kept, with status and Retry-After."""
    first = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        if first.is_set():
            return _answer(_text(sent))
        first.set()
        return Reply(503, {"retry-after": "0"}, b"{}")

    calls = sorted(_run(respond), key=lambda call: call.number)
    assert calls[0].outcome == "right"
    assert [(each.status, each.retry_after_s) for each in calls[0].attempts] == [(503, 0.0), (200, None)]


def test_calls_beyond_the_bound_are_not_sent_and_are_counted() -> None:
    """A server that does not answer gets one call; the others are due and not sent."""
    freed = threading.Event()

    def respond(sent: SentRequest) -> Reply:
        freed.wait(1.0)
        return _answer(_text(sent))

    outcomes = [call.outcome for call in _run(respond, max_open=1)]
    assert outcomes.count("right") == 1
    assert outcomes.count("unsent") == len(outcomes) - 1 > 0


def test_texts_with_equal_answers_are_left_out() -> None:
    """Only one of those that could be taken for each other stays."""
    near = {"a": 0.9005, "b": 0.0995}
    assert told_apart([SCORES["good"], near, SCORES["bad"], SCORES["good"]]) == [0, 2]
