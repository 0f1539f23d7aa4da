"""The contract of the queues, run against memory and moto's SQS; pointers; and the frame around deliveries."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.state import keys
from functions.jobs.state.queue_messages import QueueMessage, Step, belongs_to, decode_message
from functions.jobs.steps.sqs_handler import RetryLater, SqsMessage, backoff_s, handle_event, time_left
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.sqs_queue import SqsQueue
from shared.errors import BadRequest, DecodeError, Unavailable
from tests.events import FakeContext
from tests.unit.functions.jobs.storage.cloud import client
from tests.unit.functions.jobs.wiring import Effects
from tests.unit.functions.jobs.world import Clock

JOB, OTHER = "0" * 32, "1" * 32


def bodies(effects: Effects, step: str) -> list[dict[str, Any]]:
    """Receive everything from one queue."""
    queue: Any = effects.queue
    found: list[str] = []
    if isinstance(queue, InMemoryQueue):
        event = queue.receive(step, 100)  # type: ignore[arg-type] # a step
        return [json.loads(record["body"]) for record in (event or {"Records": []})["Records"]]
    sqs = client("sqs")
    while messages := sqs.receive_message(QueueUrl=queue._urls[step], MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in messages]
    return [json.loads(body) for body in found]


def test_every_pointer_reaches_the_queue_of_its_step(effects: Effects) -> None:
    """More than one call's worth, for several queues at once, arrives whole."""
    shards = [keys.shard_id(i, "b", "k", "v", i, i + 1) for i in range(23)]
    sent = [QueueMessage("work", "local", JOB, shard) for shard in shards]
    effects.queue.send([*sent, QueueMessage("finalize", "local", JOB)])
    assert sorted(decode_message(body, "work").shard for body in bodies(effects, "work")) == shards
    assert [decode_message(body, "finalize").job for body in bodies(effects, "finalize")] == [JOB]
    assert bodies(effects, "plan") == []


def test_handing_back_makes_a_message_visible_again(effects: Effects) -> None:
    """A message that is held comes back after the delay; a receipt that is too old is no fault."""
    effects.queue.send([QueueMessage("plan", "local", JOB)])
    if isinstance(effects.queue, InMemoryQueue):
        held = (effects.queue.receive("plan") or {})["Records"][0]["receiptHandle"]
    else:
        assert isinstance(effects.queue, SqsQueue)
        url = effects.queue._urls["plan"]
        held = client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"][0]["ReceiptHandle"]
    assert bodies(effects, "plan") == []
    effects.queue.return_message("plan", held, 0)
    assert len(bodies(effects, "plan")) == 1
    effects.queue.return_message("plan", "AQEB-no-such-receipt", 0)


def taken(effects: Effects, step: Step, hide_s: int = 600) -> dict[str, Any] | None:
    """Take one message of a queue as the runtime does: its body, receipt, and how often it was taken."""
    if isinstance(effects.queue, InMemoryQueue):
        event = effects.queue.receive(step)
        return None if event is None else dict(event["Records"][0])
    assert isinstance(effects.queue, SqsQueue)
    found = client("sqs").receive_message(
        QueueUrl=effects.queue._urls[step], VisibilityTimeout=hide_s, AttributeNames=["ApproximateReceiveCount"]
    )
    if not found.get("Messages"):
        return None
    message = found["Messages"][0]
    return {"body": message["Body"], "receiptHandle": message["ReceiptHandle"], "attributes": message["Attributes"]}


def comes(effects: Effects, step: Step) -> dict[str, Any]:
    """Wait until a message can be taken; the memory's clock is moved."""
    for _ in range(60):
        if (message := taken(effects, step)) is not None:
            return message
        if isinstance(effects.now_ms, Clock):
            effects.now_ms.pass_s(0.5)
        else:
            time.sleep(0.1)
    pytest.fail("the message did not come")


def test_a_taken_message_is_hidden_and_counts_its_receives(effects: Effects) -> None:
    """Nobody else gets it meanwhile; handed back, it comes again with one receive more."""
    effects.queue.send([QueueMessage("finalize", "local", JOB)])
    for receives in (1, 2, 3):
        message = comes(effects, "finalize")
        assert message["attributes"]["ApproximateReceiveCount"] == str(receives)
        assert taken(effects, "finalize") is None
        effects.queue.return_message("finalize", message["receiptHandle"], 0)


def test_a_delay_hides_a_message_from_everyone(effects: Effects) -> None:
    """Sent, or handed back, with a delay it is not there at once, and then it is."""
    effects.queue.send([QueueMessage("finalize", "local", JOB)], delay_s=2)
    assert taken(effects, "finalize") is None
    message = comes(effects, "finalize")
    effects.queue.return_message("finalize", message["receiptHandle"], 2)
    assert taken(effects, "finalize") is None
    assert json.loads(comes(effects, "finalize")["body"]) == json.loads(message["body"])


def test_dead_messages_are_thrown_away_ten_a_round(effects: Effects) -> None:
    """What is dead of up to ten that wait is deleted, the others can be taken at once; nothing is left when none is."""
    shards = [keys.shard_id(i, "b", "k", "v", i, i + 1) for i in range(12)]
    effects.queue.send([QueueMessage("work", "local", JOB, shard) for shard in shards])
    effects.queue.send([QueueMessage("work", "local", OTHER, shards[0])])
    found = [effects.queue.discard("work", lambda body: belongs_to(body, JOB)) for _ in range(6)]
    assert sum(n_dead for n_dead, _ in found) == 12
    assert all(n_dead + n_alive <= 10 for n_dead, n_alive in found)
    assert [body["job"] for body in bodies(effects, "work")] == [OTHER]
    assert effects.queue.discard("work", lambda _: True) == (0, 0)


@pytest.mark.parametrize("body", ["[", "3", "[" * 9999, "{}", f'{{"job": "{JOB}"}}'])
def test_a_message_that_is_no_pointer_leads_nowhere(body: str) -> None:
    """Only a pointer leads to a job, and only to its own."""
    assert not belongs_to(body, JOB)
    assert belongs_to(QueueMessage("work", "local", JOB).encode(), JOB)
    assert not belongs_to(QueueMessage("work", "local", OTHER).encode(), JOB)


class Listener:
    """An SQS that keeps what it is sent."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.entries += Entries
        return {}


def test_a_tenant_has_a_few_groups() -> None:
    """SQS shares deliveries between groups: a job has one, a tenant a few, and no two tenants have one in common."""
    sqs = Listener()
    pointers = [
        QueueMessage("work", tenant, f"job{n}") for tenant in ("one", "two") for n in range(40) for _ in range(2)
    ]
    SqsQueue({"work": "w"}, lambda: sqs).send(pointers)
    groups = [entry["MessageGroupId"] for entry in sqs.entries]
    assert groups[::2] == groups[1::2]
    assert len(set(groups[:80])) == len(set(groups[80:])) == 4
    assert not set(groups[:80]) & set(groups[80:])


class HalfClient:
    """An SQS that takes only the first entry of each call."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.taken += [Entries[0]["MessageBody"]][: 1 if QueueUrl == "half" else 0]
        return {"Failed": [{"Id": each["Id"]} for each in (Entries[1:] if QueueUrl == "half" else Entries)]}


def test_what_sqs_does_not_take_is_sent_again() -> None:
    """Entries that failed are sent again, the others not; what is never taken is an error."""
    sqs = HalfClient()
    queue = SqsQueue({"work": "half", "plan": "none", "finalize": "half"}, lambda: sqs, sleep=lambda _: None)
    sent = [QueueMessage("work", "local", JOB, keys.shard_id(i, "b", "k", "v", 0, 1)) for i in range(3)]
    queue.send(sent)
    assert sqs.taken == [pointer.encode() for pointer in sent]
    with pytest.raises(Unavailable):
        queue.send([QueueMessage("plan", "local", JOB)])


@pytest.mark.parametrize(
    "body",
    [{}, [], "x", None, {"glossa": "plan", "tenant": "local", "job": JOB},
     {"glossa": "work", "tenant": "local", "job": JOB},
     {"glossa": "work", "tenant": "../x", "job": JOB, "shard": "00000000-0123456789ab"},
     {"glossa": "work", "tenant": "local", "job": "x", "shard": "00000000-0123456789ab"},
     {"glossa": "work", "tenant": "local", "job": JOB, "shard": "0"}],
)  # fmt: skip
def test_foreign_messages_are_no_pointers(body: object) -> None:
    """Another step's pointer, and malformed names, are refused before anything is read."""
    with pytest.raises(DecodeError):
        decode_message(body, "work")


def record(name: str, body: str, receives: int = 1) -> dict[str, Any]:
    """Make an SQS record."""
    return {
        "messageId": name,
        "receiptHandle": name,
        "body": body,
        "attributes": {"ApproximateReceiveCount": str(receives)},
    }


def test_only_the_messages_that_failed_come_again() -> None:
    """Each message stands for itself: those that raise, or are no JSON object, are named; the rest is done."""
    seen: list[SqsMessage] = []

    def handle(delivery: SqsMessage) -> None:
        seen.append(delivery)
        if "raise" in delivery.body:
            raise errors[delivery.body["raise"]]

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
    answer = handle_event("work", event, handle, InMemoryQueue(Clock()))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["b", "c", "d", "e", "f", "g"]
    assert [delivery.receives for delivery in seen] == [3, 3, 3, 3]


def test_a_message_is_handed_back_with_its_delay() -> None:
    """Later says when; the queue hides the message until then."""
    clock = Clock()
    queue = InMemoryQueue(clock)
    queue.put("work", "{}")

    def handle(_: SqsMessage) -> None:
        raise RetryLater("held", 40)

    event = queue.receive("work")
    assert event is not None
    queue.acknowledge("work", event, handle_event("work", event, handle, queue))
    clock.pass_s(39)
    assert queue.receive("work") is None
    clock.pass_s(2)
    assert (queue.receive("work") or {})["Records"][0]["attributes"] == {"ApproximateReceiveCount": "2"}


class BrokenQueue(InMemoryQueue):
    """A queue that cannot hand back."""

    def return_message(self, step: str, receipt: str, delay_s: int) -> None:
        """Fail."""
        raise ConnectionError


def test_a_message_that_cannot_be_handed_back_still_fails() -> None:
    """Then it comes back when its visibility ends."""

    def handle(_: SqsMessage) -> None:
        raise RetryLater("held", 40)

    answer = handle_event("work", {"Records": [record("a", "{}")]}, handle, BrokenQueue(Clock()))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}


def test_no_text_of_an_exception_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A log line names the kind of an unforeseen error, never its words."""

    def handle(_: SqsMessage) -> None:
        raise ValueError("canary-7f3a")

    handle_event("work", {"Records": [record("a", '{"canary-7f3a": 1}')]}, handle, InMemoryQueue(Clock()))
    assert "ValueError" in (logged := capsys.readouterr().out)
    assert "canary-7f3a" not in logged


def test_an_event_of_another_kind_is_refused() -> None:
    """Without Records there is nothing to answer for."""
    with pytest.raises(BadRequest):
        handle_event("work", {"detail": {}}, lambda _: None, InMemoryQueue(Clock()))


@given(st.integers(1, 1000), st.none() | st.floats(0, 5000))
def test_backoff_is_bounded(receives: int, wanted_s: float | None) -> None:
    """A delay doubles with the deliveries, within 4 s and 15 minutes, and is at least what was asked for."""
    delay_s = backoff_s(receives, wanted_s)
    assert min(wanted_s or 0, 900) <= delay_s <= 900
    assert delay_s >= min(900, 4.0 * 2 ** min(receives, 12)) / 2


def test_time_left_is_in_seconds() -> None:
    """What the context says in milliseconds."""
    assert time_left(FakeContext(remaining_ms=1500))() == 1.5
