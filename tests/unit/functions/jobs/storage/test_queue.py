"""The contract of the queues, run on memory and on moto's SQS."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from functions.jobs.state import keys
from functions.jobs.state.queue_messages import QueueMessage, Step, belongs_to, decode_message
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.sqs_queue import SqsQueue
from shared.errors import Unavailable
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


def test_every_message_reaches_the_queue_of_its_step(effects: Effects) -> None:
    """More messages than one call takes, for several queues, all arrive."""
    shards = [keys.shard_id(i, "b", "k", "v", i, i + 1) for i in range(23)]
    sent = [QueueMessage("work", "local", JOB, shard) for shard in shards]
    effects.queue.send([*sent, QueueMessage("finalize", "local", JOB)])
    assert sorted(decode_message(body, "work").shard for body in bodies(effects, "work")) == shards
    assert [decode_message(body, "finalize").job for body in bodies(effects, "finalize")] == [JOB]
    assert bodies(effects, "plan") == []


def test_a_returned_message_is_visible_again(effects: Effects) -> None:
    """A returned message comes again after its delay. A receipt that is too old is no error."""
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
    """Receive one message of a queue as the runtime does: its body, its receipt, and how often it was received."""
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
    """Wait until a message can be received. The clock of the queue in memory is moved."""
    for _ in range(60):
        if (message := taken(effects, step)) is not None:
            return message
        if isinstance(effects.now_ms, Clock):
            effects.now_ms.pass_s(0.5)
        else:
            time.sleep(0.1)
    pytest.fail("the message did not come")


def test_a_taken_message_is_hidden_and_counts_its_receives(effects: Effects) -> None:
    """Nobody else receives it meanwhile. When it is returned, it comes again with one receive more."""
    effects.queue.send([QueueMessage("finalize", "local", JOB)])
    for receives in (1, 2, 3):
        message = comes(effects, "finalize")
        assert message["attributes"]["ApproximateReceiveCount"] == str(receives)
        assert taken(effects, "finalize") is None
        effects.queue.return_message("finalize", message["receiptHandle"], 0)


def test_a_delay_hides_a_message_from_everyone(effects: Effects) -> None:
    """A message that was sent or returned with a delay can be received only after it."""
    effects.queue.send([QueueMessage("finalize", "local", JOB)], delay_s=2)
    assert taken(effects, "finalize") is None
    message = comes(effects, "finalize")
    effects.queue.return_message("finalize", message["receiptHandle"], 2)
    assert taken(effects, "finalize") is None
    assert json.loads(comes(effects, "finalize")["body"]) == json.loads(message["body"])


def test_dead_messages_are_discarded_ten_in_a_round(effects: Effects) -> None:
    """Of up to ten waiting messages the dead ones are deleted, and the others can be received at once."""
    shards = [keys.shard_id(i, "b", "k", "v", i, i + 1) for i in range(12)]
    effects.queue.send([QueueMessage("work", "local", JOB, shard) for shard in shards])
    effects.queue.send([QueueMessage("work", "local", OTHER, shards[0])])
    found = [effects.queue.discard("work", lambda body: belongs_to(body, JOB)) for _ in range(6)]
    assert sum(n_dead for n_dead, _ in found) == 12
    assert all(n_dead + n_alive <= 10 for n_dead, n_alive in found)
    assert [body["job"] for body in bodies(effects, "work")] == [OTHER]
    assert effects.queue.discard("work", lambda _: True) == (0, 0)


class Listener:
    """An SQS client that keeps what it was sent."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.entries += Entries
        return {}


def test_a_tenant_has_a_few_groups() -> None:
    """SQS shares deliveries between groups. A job has one, a tenant has four, and no two tenants share one."""
    sqs = Listener()
    messages = [
        QueueMessage("work", tenant, f"job{n}") for tenant in ("one", "two") for n in range(40) for _ in range(2)
    ]
    SqsQueue({"work": "w"}, lambda: sqs).send(messages)
    groups = [entry["MessageGroupId"] for entry in sqs.entries]
    assert groups[::2] == groups[1::2]
    assert len(set(groups[:80])) == len(set(groups[80:])) == 4
    assert not set(groups[:80]) & set(groups[80:])


class HalfClient:
    """An SQS client that takes only the first entry of each call."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.taken += [Entries[0]["MessageBody"]][: 1 if QueueUrl == "half" else 0]
        return {"Failed": [{"Id": each["Id"]} for each in (Entries[1:] if QueueUrl == "half" else Entries)]}


def test_what_sqs_does_not_take_is_sent_again() -> None:
    """Entries that failed are sent again, and no others. An entry that is never taken is an error."""
    sqs = HalfClient()
    queue = SqsQueue({"work": "half", "plan": "none", "finalize": "half"}, lambda: sqs, sleep=lambda _: None)
    sent = [QueueMessage("work", "local", JOB, keys.shard_id(i, "b", "k", "v", 0, 1)) for i in range(3)]
    queue.send(sent)
    assert sqs.taken == [message.encode() for message in sent]
    with pytest.raises(Unavailable):
        queue.send([QueueMessage("plan", "local", JOB)])
