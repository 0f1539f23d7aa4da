"""A queue in memory, of the same contract as SQS's: for tests, simulations and one process.

Has the receiving side too, which in the cloud is the runtime's: `take` builds the event that a
function would be invoked with, `settle` reads its partial batch response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from functions.jobs.state.queue_messages import QueueMessage, Step
from functions.jobs.storage.sqs_queue import SEND_MOST

VISIBILITY_S = 1800


@dataclass(frozen=True, slots=True)
class Message:
    """One message: visible from `visible_ms` on; `receives` counts how often it was taken."""

    id: str
    body: str
    visible_ms: int
    receives: int = 0


class InMemoryQueue:
    """Three queues of messages. `now_ms` is the clock that delays are counted on."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._messages: dict[Step, dict[str, Message]] = {"plan": {}, "work": {}, "finalize": {}, "notify": {}}
        self._sent = 0

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        """Send all pointers, each to its step's queue."""
        for pointer in messages:
            self.put(pointer.step, pointer.encode(), delay_s)

    def put(self, step: Step, body: str, delay_s: int = 0) -> None:
        """Put any body into a queue, as EventBridge does."""
        self._sent += 1
        name = f"m{self._sent:06d}"
        self._messages[step][name] = Message(name, body, self._now_ms() + delay_s * 1000)

    def hand_back(self, step: Step, receipt: str, delay_s: int) -> None:
        """Let a message that we hold appear again after `delay_s` seconds; too late is no fault."""
        if (message := self._messages[step].get(receipt)) is not None:
            self._messages[step][receipt] = replace(message, visible_ms=self._now_ms() + delay_s * 1000)

    def discard(self, step: Step, is_dead: Callable[[str], bool]) -> tuple[int, int]:
        """Take up to ten messages that wait, delete those whose body is dead, hand back the others at once.

        Returns how many were deleted, and how many handed back.
        """
        now_ms, queue = self._now_ms(), self._messages[step]
        seen = [message for message in queue.values() if message.visible_ms <= now_ms][:SEND_MOST]
        dead = [message for message in seen if is_dead(message.body)]
        for message in dead:
            del queue[message.id]
        for message in seen:
            if message.id in queue:
                queue[message.id] = replace(message, receives=message.receives + 1)
        return len(dead), len(seen) - len(dead)

    def waiting(self, step: Step) -> int:
        """Return how many messages are there, visible or not."""
        return len(self._messages[step])

    def next_visible_ms(self) -> int | None:
        """Return when the next message of any queue can be taken, or None when all are empty."""
        return min((m.visible_ms for queue in self._messages.values() for m in queue.values()), default=None)

    def visible(self) -> list[tuple[Step, Message]]:
        """Return the messages that can be taken now, by queue and in the order they were sent."""
        now_ms = self._now_ms()
        return [(step, m) for step, queue in self._messages.items() for m in queue.values() if m.visible_ms <= now_ms]

    def take(self, step: Step, most: int = 1, *, only: str = "") -> dict[str, Any] | None:
        """Return the event of up to `most` visible messages, which are then hidden; None when there is none.

        `only` names the one that is wanted.
        """
        queue = self._messages[step]
        seen = [m for m in queue.values() if m.visible_ms <= self._now_ms() and only in {"", m.id}][:most]
        for message in seen:
            hidden_ms = self._now_ms() + VISIBILITY_S * 1000
            queue[message.id] = replace(message, visible_ms=hidden_ms, receives=message.receives + 1)
        return {"Records": [_record(queue[m.id]) for m in seen]} if seen else None

    def settle(self, step: Step, event: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Delete the messages of an event, but for those that its partial batch response names."""
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        for record in event["Records"]:
            if record["messageId"] not in failed:
                self._messages[step].pop(record["messageId"], None)


def _record(message: Message) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.id,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.receives)},
        "eventSource": "aws:sqs",
    }
