"""The frame of every function that a queue invokes: messages in, partial batch response out.

A step that returns has handled its message; one that raises gets it again after a back-off.
Must not know what the step does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from functions.jobs.state.queue_messages import Step
from functions.jobs.storage.sqs_queue import MAX_DELAY_S, JobQueue
from shared.errors import BadRequest, DecodeError, GlossaError
from shared.log import log_event

FIRST_BACKOFF_S = 4.0


class RetryLater(Exception):
    """The message is to be delivered again after `delay_s` seconds."""

    def __init__(self, reason: str, delay_s: float) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """One message: its parsed JSON body, and how often it has been delivered (this time included)."""

    body: dict[str, Any]
    receives: int = 1


def deliver(
    step: Step, event: Mapping[str, Any], handle: Callable[[SqsMessage], None], queue: JobQueue
) -> dict[str, list[dict[str, str]]]:
    """Handle each message of an SQS event by itself; return those to be delivered again.

    Raises BadRequest when the event is not of SQS at all.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        raise BadRequest("got an event without Records, expected one from SQS")
    failed = [record for record in records if not _handled(step, record, handle, queue)]
    return {"batchItemFailures": [{"itemIdentifier": str(record["messageId"])} for record in failed]}


def time_left(context: Any) -> Callable[[], float]:
    """Return what says how many seconds this invocation has left, from a Lambda context."""
    return lambda: context.get_remaining_time_in_millis() / 1000


def backoff_s(receives: int, wanted_s: float | None = None) -> float:
    """Return seconds until the next try: doubling from 4 s with full jitter, at most 900, at least `wanted_s`."""
    most = min(MAX_DELAY_S, FIRST_BACKOFF_S * 2 ** min(receives, 12))
    spread = random.uniform(most / 2, most)  # noqa: S311 - jitter is no secret
    return min(MAX_DELAY_S, max(spread, wanted_s or 0.0))


def _handled(step: Step, record: Mapping[str, Any], handle: Callable[[SqsMessage], None], queue: JobQueue) -> bool:
    receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    try:
        handle(SqsMessage(_body(record), receives))
    except RetryLater as later:
        delay_s = later.delay_s
        log_event("later", function=step, reason=str(later), seconds=round(delay_s, 1), attempt=receives)
    except GlossaError as error:
        delay_s = backoff_s(receives, error.retry_after_s)
        log_event(
            "failed", level="warning", function=step, code=error.code, retryable=error.retryable, attempt=receives
        )
    except Exception as error:  # noqa: BLE001 - one message must not take its neighbours along; its text may be a document's
        delay_s = backoff_s(receives)
        log_event("failed", level="error", function=step, error_type=type(error).__name__, attempt=receives)
    else:
        return True
    _hand_back(step, record, delay_s, queue)
    return False


def _hand_back(step: Step, record: Mapping[str, Any], delay_s: float, queue: JobQueue) -> None:
    try:
        queue.hand_back(step, str(record["receiptHandle"]), int(delay_s))
    except Exception as error:  # noqa: BLE001 - then the message comes back later, when its visibility ends
        log_event("hand-back-failed", level="warning", function=step, error_type=type(error).__name__)


def _body(record: Mapping[str, Any]) -> dict[str, Any]:
    try:
        body = json.loads(str(record.get("body")))
    except (ValueError, RecursionError):
        raise DecodeError("got a message that is not JSON") from None
    if not isinstance(body, dict):
        raise DecodeError("got a message that is no JSON object")
    return body
