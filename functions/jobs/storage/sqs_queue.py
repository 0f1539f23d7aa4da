"""The queue contract over SQS.

Sends messages, returns received ones to their queue with a delay, and deletes dead ones. The Lambda runtime does all
other receiving. Must not know what a message asks for.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from functions.jobs.state.queue_messages import QueueMessage, Step
from functions.jobs.storage.contracts import MAX_DELAY_S, MAX_SEND_ENTRIES
from shared.errors import Unavailable

GROUPS_PER_TENANT = 4
MAX_SEND_TRIES = 4
MAX_VISIBILITY_S = 43_200
DISCARD_HIDDEN_S = 30  # a message stays hidden this long while `discard` looks at its body


class SqsQueue:
    """The SQS queues at `urls`, one for each step. `make_client` is called at the first use.

    Each message carries a group: its tenant, and one of four shares of that tenant's jobs. SQS is fair between groups.
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
        """Send each message to the queue of its step. Raises Unavailable when some were not taken."""
        for step in dict.fromkeys(message.step for message in messages):
            chosen = [message for message in messages if message.step == step]
            for at in range(0, len(chosen), MAX_SEND_ENTRIES):
                self._send(step, chosen[at : at + MAX_SEND_ENTRIES], min(delay_s, MAX_DELAY_S))

    def return_message(self, step: Step, receipt: str, delay_s: int) -> None:
        """Let a received message be delivered again after `delay_s` seconds. Does nothing when it is too late."""
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
        """Receive up to ten waiting messages, delete those whose body is dead, and return the others at once.

        Returns how many were deleted and how many were returned to the queue.
        """
        url, client = self._urls[step], self._client
        found = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=MAX_SEND_ENTRIES, VisibilityTimeout=DISCARD_HIDDEN_S, WaitTimeSeconds=1
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
        if dead:  # a message that is not deleted is delivered again
            client.delete_message_batch(QueueUrl=url, Entries=dead)
        return len(dead), len(alive)

    def _send(self, step: Step, messages: Sequence[QueueMessage], delay_s: int) -> None:
        entries = [
            {"Id": str(i), "MessageBody": each.encode(), "DelaySeconds": delay_s, "MessageGroupId": _group(each)}
            for i, each in enumerate(messages)
        ]
        for tries in range(MAX_SEND_TRIES):
            answer = self._client.send_message_batch(QueueUrl=self._urls[step], Entries=entries)
            refused = {each["Id"] for each in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in refused]
            if not entries:
                return
            self._sleep(0.1 * 2**tries)
        raise Unavailable(f"the {step} queue did not take {len(entries)} messages", retry_after_s=1.0)


def _group(message: QueueMessage) -> str:
    """Return the group of a job's messages. A tenant has few groups, so that it cannot take more than its share."""
    return f"{message.tenant}-{zlib.crc32(message.job.encode()) % GROUPS_PER_TENANT}"
