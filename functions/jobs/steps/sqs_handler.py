"""Handles an SQS event for every step that a queue invokes: takes the messages, returns the partial batch response.

A message is done when the step returns. When the step raises, the message is delivered again after a wait that grows.
Must not know what a step does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from functions.jobs.state.queue_messages import Step
from functions.jobs.storage.contracts import MAX_DELAY_S, JobQueue
from shared.errors import BadRequest, DecodeError, GlossaError
from shared.log import log_event

FIRST_BACKOFF_S = 4.0
MAX_DOUBLINGS = 12


class RetryLater(Exception):
    """The message must be delivered again after `delay_s` seconds."""

    def __init__(self, reason: str, delay_s: float) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


@dataclass(frozen=True, slots=True)
class SqsMessage:
    """One message: its parsed JSON body, and how often it has been delivered, this time included."""

    body: dict[str, Any]
    receives: int = 1


def handle_messages(
    step: Step, event: Mapping[str, Any], handle: Callable[[SqsMessage], None], queue: JobQueue
) -> dict[str, list[dict[str, str]]]:
    """Handle each message of an SQS event by itself; return which of them must be delivered again.

    Raises BadRequest when the event does not come from SQS.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        raise BadRequest("got an event without Records, expected one from SQS")
    failed = [record for record in records if not _is_handled(step, record, handle, queue)]
    return {"batchItemFailures": [{"itemIdentifier": str(record["messageId"])} for record in failed]}


def time_left(context: Any) -> Callable[[], float]:
    """Return a function of a Lambda context that says how many seconds this invocation has left."""
    return lambda: context.get_remaining_time_in_millis() / 1000


def backoff_s(receives: int, wanted_s: float | None = None) -> float:
    """Return the seconds until the next try: at least `wanted_s`, and at most 900.

    The wait doubles with each delivery, from 4 s on. A random half of it spreads the tries of many messages.
    """
    most_s = min(MAX_DELAY_S, FIRST_BACKOFF_S * 2 ** min(receives, MAX_DOUBLINGS))
    spread_s = random.uniform(most_s / 2, most_s)  # noqa: S311 - the wait needs no secret randomness
    return min(MAX_DELAY_S, max(spread_s, wanted_s or 0.0))


def _is_handled(step: Step, record: Mapping[str, Any], handle: Callable[[SqsMessage], None], queue: JobQueue) -> bool:
    receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    try:
        handle(SqsMessage(_body(record), receives))
    except RetryLater as later:
        delay_s = later.delay_s
        log_event("retry-later", function=step, reason=str(later), seconds=round(delay_s, 1), receives=receives)
    except GlossaError as error:
        delay_s = backoff_s(receives, error.retry_after_s)
        log_event(
            "failed", level="warning", function=step, code=error.code, retryable=error.retryable, receives=receives
        )
    except Exception as error:  # noqa: BLE001 - other messages must not fail with it, and its text may be a document's
        delay_s = backoff_s(receives)
        log_event("failed", level="error", function=step, error_type=type(error).__name__, receives=receives)
    else:
        return True
    _return_message(step, record, delay_s, queue)
    return False


def _return_message(step: Step, record: Mapping[str, Any], delay_s: float, queue: JobQueue) -> None:
    try:
        queue.return_message(step, str(record["receiptHandle"]), int(delay_s))
    except Exception as error:  # noqa: BLE001 - the message then comes again when its visibility timeout ends
        log_event("message-return-failed", level="warning", function=step, error_type=type(error).__name__)


def _body(record: Mapping[str, Any]) -> dict[str, Any]:
    try:
        body = json.loads(str(record.get("body")))
    except (ValueError, RecursionError):
        raise DecodeError("got a message that is not JSON") from None
    if not isinstance(body, dict):
        raise DecodeError("got a message that is no JSON object")
    return body
