"""Queues in memory, for tests, simulations and jobs within one process.

Has the receiving side too, which on AWS is the Lambda runtime's part. `receive` builds the event that a function would
be invoked with, and `acknowledge` reads its partial batch response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from functions.jobs.state.queue_messages import QueueMessage, Step
from functions.jobs.storage.contracts import MAX_SEND_ENTRIES

VISIBILITY_S = 1800  # how long a received message stays hidden


@dataclass(frozen=True, slots=True)
class Message:
    """One message. It can be received from `visible_ms` on; `receives` counts how often it was."""

    id: str
    body: str
    visible_ms: int
    receives: int = 0


class InMemoryQueue:
    """One queue for each step. Delays are counted on the clock `now_ms`."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._messages: dict[Step, dict[str, Message]] = {"plan": {}, "work": {}, "finalize": {}, "notify": {}}
        self._sent = 0

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        """Send each message to the queue of its step."""
        for message in messages:
            self.put(message.step, message.encode(), delay_s)

    def put(self, step: Step, body: str, delay_s: int = 0) -> None:
        """Put a message with any body into a queue, as EventBridge does."""
        self._sent += 1
        name = f"m{self._sent:06d}"
        self._messages[step][name] = Message(name, body, self._now_ms() + delay_s * 1000)

    def return_message(self, step: Step, receipt: str, delay_s: int) -> None:
        """Let a received message be delivered again after `delay_s` seconds. Does nothing when it is too late."""
        if (message := self._messages[step].get(receipt)) is not None:
            self._messages[step][receipt] = replace(message, visible_ms=self._now_ms() + delay_s * 1000)

    def discard(self, step: Step, is_dead: Callable[[str], bool]) -> tuple[int, int]:
        """Receive up to ten waiting messages, delete those whose body is dead, and return the others at once.

        Returns how many were deleted and how many were returned to the queue.
        """
        now_ms, queue = self._now_ms(), self._messages[step]
        seen = [message for message in queue.values() if message.visible_ms <= now_ms][:MAX_SEND_ENTRIES]
        dead = [message for message in seen if is_dead(message.body)]
        for message in dead:
            del queue[message.id]
        for message in seen:
            if message.id in queue:
                queue[message.id] = replace(message, receives=message.receives + 1)
        return len(dead), len(seen) - len(dead)

    def waiting(self, step: Step) -> int:
        """Return how many messages a queue holds, visible or hidden."""
        return len(self._messages[step])

    def next_visible_ms(self) -> int | None:
        """Return when the next message of any queue can be received, or None when all queues are empty."""
        return min((m.visible_ms for queue in self._messages.values() for m in queue.values()), default=None)

    def visible(self) -> list[tuple[Step, Message]]:
        """Return the messages that can be received now, by queue and in the order in which they were sent."""
        now_ms = self._now_ms()
        return [(step, m) for step, queue in self._messages.items() for m in queue.values() if m.visible_ms <= now_ms]

    def receive(self, step: Step, most: int = 1, *, only: str = "") -> dict[str, Any] | None:
        """Return an event with up to `most` visible messages, or None when none is visible. Hides those messages.

        `only` is the id of the one message that is wanted.
        """
        queue = self._messages[step]
        seen = [m for m in queue.values() if m.visible_ms <= self._now_ms() and only in {"", m.id}][:most]
        for message in seen:
            hidden_ms = self._now_ms() + VISIBILITY_S * 1000
            queue[message.id] = replace(message, visible_ms=hidden_ms, receives=message.receives + 1)
        return {"Records": [_record(queue[m.id]) for m in seen]} if seen else None

    def acknowledge(self, step: Step, event: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Delete the messages of an event, except those that its partial batch response names."""
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
