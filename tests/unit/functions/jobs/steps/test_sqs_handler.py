"""The handler of SQS events: each message by itself, those that failed again after a wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.steps.sqs_handler import RetryLater, SqsMessage, backoff_s, handle_messages, time_left
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from shared.errors import BadRequest, Unavailable
from tests.events import FakeContext
from tests.unit.functions.jobs.world import Clock


def record(name: str, body: str, receives: int = 1) -> dict[str, Any]:
    """Make an SQS record."""
    return {
        "messageId": name,
        "receiptHandle": name,
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives)},
    }


def test_only_the_messages_that_failed_come_again() -> None:
    """Only messages that raise, or that are no JSON object, are named in the answer. The others are done."""
    seen: list[SqsMessage] = []

    def handle(message: SqsMessage) -> None:
        seen.append(message)
        if "raise" in message.body:
            raise errors[message.body["raise"]]

    names = {
        "a": "{}",
        "b": '{"raise": "later"}',
        "c": '{"raise": "ours"}',
        "d": '{"raise": "other"}',
        "e": "[",
        "f": "3",
        "g": "[" * 9999,
    }
    errors = {"later": RetryLater("soon", 5), "ours": Unavailable("no"), "other": KeyError("secret")}
    event = {"Records": [record(name, body, 3) for name, body in names.items()]}
    answer = handle_messages("work", event, handle, InMemoryQueue(Clock()))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["b", "c", "d", "e", "f", "g"]
    assert [message.receives for message in seen] == [3, 3, 3, 3]


def test_a_message_is_returned_with_its_delay() -> None:
    """RetryLater says how long the queue hides the message."""
    clock = Clock()
    queue = InMemoryQueue(clock)
    queue.put("work", "{}")

    def handle(_: SqsMessage) -> None:
        raise RetryLater("held", 40)

    event = queue.receive("work")
    assert event is not None
    queue.acknowledge("work", event, handle_messages("work", event, handle, queue))
    clock.pass_s(39)
    assert queue.receive("work") is None
    clock.pass_s(2)
    assert (queue.receive("work") or {})["Records"][0]["attributes"] == {"ApproximateReceiveCount": "2"}


def test_a_log_line_names_how_often_the_message_was_received(capsys: pytest.CaptureFixture[str]) -> None:
    """The field is `receives`: a fence or a generation are other numbers."""

    def handle(_: SqsMessage) -> None:
        raise RetryLater("held", 40)

    handle_messages("work", {"Records": [record("a", "{}")]}, handle, InMemoryQueue(Clock()))
    assert json.loads(capsys.readouterr().out)["receives"] == 1


class BrokenQueue(InMemoryQueue):
    """A queue to which no message can be returned."""

    def return_message(self, step: str, receipt: str, delay_s: int) -> None:
        """Fail."""
        raise ConnectionError


def test_a_message_that_cannot_be_returned_still_fails() -> None:
    """The message comes again when its visibility timeout ends."""

    def handle(_: SqsMessage) -> None:
        raise RetryLater("held", 40)

    answer = handle_messages("work", {"Records": [record("a", "{}")]}, handle, BrokenQueue(Clock()))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}


def test_no_text_of_an_exception_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A log line names the type of an unexpected error, and never its text."""

    def handle(_: SqsMessage) -> None:
        raise ValueError("canary-7f3a")

    handle_messages("work", {"Records": [record("a", '{"canary-7f3a": 1}')]}, handle, InMemoryQueue(Clock()))
    assert "ValueError" in (logged := capsys.readouterr().out)
    assert "canary-7f3a" not in logged


def test_an_event_of_another_kind_is_refused() -> None:
    """An event without Records is a BadRequest."""
    with pytest.raises(BadRequest):
        handle_messages("work", {"detail": {}}, lambda _: None, InMemoryQueue(Clock()))


@given(st.integers(1, 1000), st.none() | st.floats(0, 5000))
def test_backoff_is_bounded(receives: int, wanted_s: float | None) -> None:
    """The wait doubles with the deliveries, from 4 s to 15 minutes, and is at least as long as asked for."""
    delay_s = backoff_s(receives, wanted_s)
    assert min(wanted_s or 0, 900) <= delay_s <= 900
    assert delay_s >= min(900, 4.0 * 2 ** min(receives, 12)) / 2


def test_time_left_is_in_seconds() -> None:
    """The context says it in milliseconds."""
    assert time_left(FakeContext(remaining_ms=1500))() == 1.5
