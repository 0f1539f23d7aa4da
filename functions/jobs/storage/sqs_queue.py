"""The door to SQS, and the contract of every queue.

Sends pointers, hands messages back with a delay, throws dead ones away. All other receiving is the
runtime's. Must not know what a pointer leads to.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from functions.jobs.state.queue_messages import QueueMessage, Step
from shared.errors import Unavailable

GROUPS_A_TENANT = 4
SEND_MOST = 10  # entries that one SQS call takes
SEND_TRIES = 4
MAX_DELAY_S = 900
MAX_VISIBILITY_S = 43_200
GLANCE_S = 30  # for which a message is hidden whose body is looked at


class JobQueue(Protocol):
    """The queues, by step. Delivery is at least once and in no order."""

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        """Send all pointers, each to its step's queue. Raises Unavailable when some were not taken."""
        ...

    def hand_back(self, step: Step, receipt: str, delay_s: int) -> None:
        """Let a message that we hold appear again after `delay_s` seconds."""
        ...

    def discard(self, step: Step, is_dead: Callable[[str], bool]) -> tuple[int, int]:
        """Take up to ten messages that wait, delete those whose body is dead, hand back the others at once.

        Returns how many were deleted, and how many handed back.
        """
        ...


class SqsQueue:
    """The contract over SQS; `urls` per step, `client` made at first use.

    Messages carry their tenant and one of a few shares of its jobs as group: SQS is fair between groups.
    """

    def __init__(
        self, urls: Mapping[Step, str], make_client: Callable[[], Any], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._urls = urls
        self._make_client = make_client
        self._sleep = sleep

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        """Send all pointers, each to its step's queue. Raises Unavailable when some were not taken."""
        for step in dict.fromkeys(pointer.step for pointer in messages):
            chosen = [pointer for pointer in messages if pointer.step == step]
            for at in range(0, len(chosen), SEND_MOST):
                self._send(step, chosen[at : at + SEND_MOST], min(delay_s, MAX_DELAY_S))

    def hand_back(self, step: Step, receipt: str, delay_s: int) -> None:
        """Let a message that we hold appear again after `delay_s` seconds; too late is no fault."""
        client = self._client
        try:
            client.change_message_visibility(
                QueueUrl=self._urls[step],
                ReceiptHandle=receipt,
                VisibilityTimeout=max(0, min(delay_s, MAX_VISIBILITY_S)),
            )
        except (client.exceptions.MessageNotInflight, client.exceptions.ReceiptHandleIsInvalid):
            return

    def discard(self, step: Step, is_dead: Callable[[str], bool]) -> tuple[int, int]:
        """Take up to ten messages that wait, delete those whose body is dead, hand back the others at once.

        Returns how many were deleted, and how many handed back.
        """
        url, client = self._urls[step], self._client
        found = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=SEND_MOST, VisibilityTimeout=GLANCE_S, WaitTimeSeconds=1
        ).get("Messages", [])
        dead: list[dict[str, Any]] = []
        alive: list[dict[str, Any]] = []
        for i, message in enumerate(found):
            (dead if is_dead(message["Body"]) else alive).append(
                {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
            )
        if alive:
            entries = [{**entry, "VisibilityTimeout": 0} for entry in alive]
            client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
        if dead:  # one that is not deleted comes again
            client.delete_message_batch(QueueUrl=url, Entries=dead)
        return len(dead), len(alive)

    def _send(self, step: Step, messages: Sequence[QueueMessage], delay_s: int) -> None:
        entries = [
            {"Id": str(i), "MessageBody": p.encode(), "DelaySeconds": delay_s, "MessageGroupId": _group(p)}
            for i, p in enumerate(messages)
        ]
        for tries in range(SEND_TRIES):
            answer = self._client.send_message_batch(QueueUrl=self._urls[step], Entries=entries)
            lost = {each["Id"] for each in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in lost]
            if not entries:
                return
            self._sleep(0.1 * 2**tries)
        raise Unavailable(f"the {step} queue did not take {len(entries)} messages", retry_after_s=1.0)


def _group(pointer: QueueMessage) -> str:
    """Return the group of a job's messages: no tenant has more than a few, and few of its jobs stand behind one."""
    return f"{pointer.tenant}-{zlib.crc32(pointer.job.encode()) % GROUPS_A_TENANT}"
