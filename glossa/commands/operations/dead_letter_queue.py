"""Reads the dead-letter queues of batch jobs, and sends their messages to where they came from.

A message is sent before it is deleted, so that none is lost. One that is sent twice does no harm: every step takes a
message twice. Only messages that a step of ours reads are sent. Must not know arguments or terminals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from functions.jobs.state.keys import parse_object_key
from functions.jobs.state.queue_messages import Step, decode_message
from functions.jobs.state.s3_events import is_s3_event, parse_event
from functions.jobs.steps.notify import read_end
from functions.jobs.storage.contracts import MAX_SEND_ENTRIES
from shared.errors import DecodeError, NotFound

STEPS: tuple[Step, ...] = ("plan", "work", "finalize", "notify")
HIDDEN_S = 300  # a message that was received stays hidden this long, unless it is given back before
MAX_OURS_CHARS = 20_000  # of one message as ASCII JSON; SQS takes 1 MiB in one call
WAIT_S = 1  # a receive that waits asks every server of SQS, so an empty answer means an empty queue


@dataclass(frozen=True, slots=True)
class QueuePair:
    """A dead-letter queue, and the queue of the step that its messages were for."""

    step: Step
    dead_url: str
    url: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it was received. `names` says what it asks for; None says that no step of ours reads it."""

    step: Step
    message: Mapping[str, Any]
    names: Mapping[str, str] | None

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes that SQS itself gave the message."""
        found: Mapping[str, str] = self.message.get("Attributes", {})
        return found

    def shown(self) -> dict[str, object]:
        """Return what a person may see of it: no body, and no name of a document."""
        sent_s = int(self.attributes.get("SentTimestamp", 0)) / 1000
        return {
            "step": self.step,
            "id": self.message["MessageId"],
            "sent_at": datetime.fromtimestamp(sent_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "group": self.attributes.get("MessageGroupId"),
            "ours": self.names is not None,
            **(self.names or {}),
        }


@dataclass(slots=True)
class Outcome:
    """How many messages were replayed, how many are not ours and stay, and how many SQS refused to take or delete."""

    replayed: int = 0
    foreign: int = 0
    refused: int = 0
    seen: set[str] = field(default_factory=set)


def queues_of_stack(cloudformation: Any, stack: str, steps: Collection[Step] = STEPS) -> list[QueuePair]:
    """Return the queues of a stack of template.yaml. Raises NotFound when one of them is not there."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    urls = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
    }
    pairs = [(step, f"{step.title()}DeadLetterQueue", f"{step.title()}Queue") for step in STEPS if step in steps]
    missing = [name for _, *names in pairs for name in names if name not in urls]
    if missing:
        raise NotFound(f"got stack {stack!r} without {', '.join(missing)}, expected the stack of template.yaml")
    return [QueuePair(step, urls[dead], urls[queue]) for step, dead, queue in pairs]


def queue_of_url(sqs: Any, dead_url: str, step: Step) -> QueuePair:
    """Return the pair of one dead-letter queue. Raises NotFound unless it belongs to exactly one queue."""
    sources = sqs.list_dead_letter_source_queues(QueueUrl=dead_url).get("queueUrls", [])
    if len(sources) != 1:
        raise NotFound(f"got a queue that is the dead-letter queue of {len(sources)} queues, expected that of one")
    return QueuePair(step, dead_url, sources[0])


def names_of(step: Step, body: str) -> Mapping[str, str] | None:
    """Return what a message asks a step for, or None when the step would refuse it."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        return None
    try:
        if step == "notify":
            tenant, job, generation = read_end(read)
            return {"tenant": tenant, "job": job, "generation": str(generation)}
        if step == "plan" and is_s3_event(read):
            owners = {key.tenant for created in parse_event(read) if (key := parse_object_key(created.key))}
            return {"tenant": owners.pop()} if len(owners) == 1 else None
        message = decode_message(read, step)
    except DecodeError:
        return None
    return {"tenant": message.tenant, "job": message.job} | ({"shard": message.shard} if message.shard else {})


def _names(step: Step, message: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Return what a message asks for, None when it is not ours. Ours are small, so ten of them fit into one call."""
    sent = json.dumps([message["Body"], message.get("MessageAttributes")], default=str)
    return names_of(step, message["Body"]) if len(sent) <= MAX_OURS_CHARS else None


def received(sqs: Any, pair: QueuePair, limit: int, seen: set[str]) -> Iterator[list[DeadLetter]]:
    """Yield the messages of a dead-letter queue in batches, at most `limit`, each once.

    Adds their ids to `seen`. Ends when the queue is empty, or when a message comes a second time.
    """
    while limit > 0:
        found = sqs.receive_message(
            QueueUrl=pair.dead_url, MaxNumberOfMessages=min(limit, MAX_SEND_ENTRIES), VisibilityTimeout=HIDDEN_S,
            WaitTimeSeconds=WAIT_S, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"],
        ).get("Messages", [])  # fmt: skip
        new = [message for message in found if message["MessageId"] not in seen]
        seen |= {message["MessageId"] for message in new}
        limit -= len(new)
        if new:
            yield [DeadLetter(pair.step, message, _names(pair.step, message)) for message in new]
        if len(new) < len(found) or not found:
            return


def peek(sqs: Any, pair: QueuePair, limit: int) -> Iterator[DeadLetter]:
    """Yield messages and leave all of them where they are."""
    letters: list[DeadLetter] = []
    try:
        for batch in received(sqs, pair, limit, set()):
            letters += batch
            yield from batch
    finally:
        _give_back(sqs, pair, letters)


def replay(sqs: Any, pair: QueuePair, limit: int, progress: Callable[[Outcome], object]) -> Outcome:
    """Send at most `limit` messages to their queue again, and delete them; those that are not ours stay.

    `progress` is told after each batch.
    """
    outcome, kept = Outcome(), list[DeadLetter]()
    try:
        for batch in received(sqs, pair, limit, outcome.seen):
            ours = [letter for letter in batch if letter.names is not None]
            sent = _sent(sqs, pair, ours)
            n_deleted = _deleted(sqs, pair, sent)
            kept += [letter for letter in batch if letter not in sent]
            outcome.replayed += n_deleted
            outcome.refused += len(ours) - n_deleted
            outcome.foreign += len(batch) - len(ours)
            progress(outcome)
    finally:
        _give_back(sqs, pair, kept)
    return outcome


def _sent(sqs: Any, pair: QueuePair, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Send messages as they were, with their group and attributes; return those that the queue took."""
    if not letters:
        return []
    answer = sqs.send_message_batch(QueueUrl=pair.url, Entries=[_entry(str(i), each) for i, each in enumerate(letters)])
    taken = {each["Id"] for each in answer.get("Successful", [])}
    return [letter for i, letter in enumerate(letters) if str(i) in taken]


def _entry(name: str, letter: DeadLetter) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": name, "MessageBody": letter.message["Body"]}
    if own := letter.message.get("MessageAttributes"):
        entry["MessageAttributes"] = {
            key: {part: value for part, value in each.items() if part in {"DataType", "StringValue", "BinaryValue"}}
            for key, each in own.items()
        }
    if group := letter.attributes.get("MessageGroupId"):
        entry["MessageGroupId"] = group
    if trace := letter.attributes.get("AWSTraceHeader"):
        entry["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    return entry


def _deleted(sqs: Any, pair: QueuePair, letters: Sequence[DeadLetter]) -> int:
    if not letters:
        return 0
    answer = sqs.delete_message_batch(QueueUrl=pair.dead_url, Entries=_receipts(letters))
    return len(answer.get("Successful", []))


def _give_back(sqs: Any, pair: QueuePair, letters: Sequence[DeadLetter]) -> None:
    """Let messages be received again at once."""
    for at in range(0, len(letters), MAX_SEND_ENTRIES):
        entries = [{**entry, "VisibilityTimeout": 0} for entry in _receipts(letters[at : at + MAX_SEND_ENTRIES])]
        sqs.change_message_visibility_batch(QueueUrl=pair.dead_url, Entries=entries)


def _receipts(letters: Sequence[DeadLetter]) -> list[dict[str, Any]]:
    return [{"Id": str(i), "ReceiptHandle": each.message["ReceiptHandle"]} for i, each in enumerate(letters)]
