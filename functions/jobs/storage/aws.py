"""Opens the effects of the batch side, real or in memory: the one place that chooses.

Clients of AWS are made at first use, and boto3 is imported only then. Must not know what the
five functions do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from functions.jobs.state.queue_messages import Step
from functions.jobs.storage.dynamodb_table import DynamoDbTable, Table
from functions.jobs.storage.eventbridge import EventBridgeBus, EventBus, InMemoryEventBus
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.in_memory.table import InMemoryTable
from functions.jobs.storage.s3_objects import ObjectStore, S3Objects
from functions.jobs.storage.sqs_queue import JobQueue, SqsQueue
from shared.errors import GlossaError
from shared.settings import Settings

TRANSIENT_CODES = frozenset({
    "InternalError", "InternalServerError", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
    "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException",
})  # fmt: skip
SERVER_ERROR = 500


class BatchSettings(Settings):
    """Where the batch side keeps its things; queue addresses by step."""

    input_bucket: str
    output_bucket: str
    jobs_table: str
    plan_queue_url: str
    work_queue_url: str
    finalize_queue_url: str


@dataclass(frozen=True, slots=True)
class Doors:
    """Everything the batch side does to the world, and its clock (epoch milliseconds)."""

    store: Table
    objects: ObjectStore
    queue: JobQueue
    bus: EventBus
    input_bucket: str
    output_bucket: str
    now_ms: Callable[[], int]


def open_aws(settings: BatchSettings) -> Doors:
    """Open DynamoDB, S3, SQS and EventBridge; endpoint, region and credentials are boto3's own business."""
    urls: dict[Step, str] = {
        "plan": settings.plan_queue_url,
        "work": settings.work_queue_url,
        "finalize": settings.finalize_queue_url,
    }
    return Doors(
        store=open_store(settings.jobs_table),
        objects=S3Objects(lambda: _client("s3")),
        queue=open_queue(urls),
        bus=EventBridgeBus(lambda: _client("events")),
        input_bucket=settings.input_bucket,
        output_bucket=settings.output_bucket,
        now_ms=wall_clock_ms,
    )


def open_store(table: str) -> Table:
    """Open a table of DynamoDB."""
    return DynamoDbTable(table, lambda: _client("dynamodb"))


def open_queue(urls: Mapping[Step, str]) -> JobQueue:
    """Open the queues of SQS at these addresses."""
    return SqsQueue(urls, lambda: _client("sqs"))


def open_memory(now_ms: Callable[[], int], *, versioned: bool = True) -> Doors:
    """Open everything in memory, on the clock that is handed in."""
    return Doors(
        store=InMemoryTable(),
        objects=InMemoryObjects(versioned=versioned),
        queue=InMemoryQueue(now_ms),
        bus=InMemoryEventBus(),
        input_bucket="input",
        output_bucket="output",
        now_ms=now_ms,
    )


def wall_clock_ms() -> int:
    """Return the time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def is_transient(error: BaseException) -> bool:
    """Whether an error says that a service, not the request, was at fault: ours retryable, or the AWS library's."""
    if isinstance(error, GlossaError):
        return error.retryable
    if type(error).__module__.split(".")[0] != "botocore":
        return False
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return True  # no answer at all: connection, read timeout, broken stream
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status >= SERVER_ERROR or response.get("Error", {}).get("Code") in TRANSIENT_CODES


def _client(service: str) -> Any:
    import boto3  # noqa: PLC0415 - 300 ms that only a function in use need pay
    from botocore.config import Config  # noqa: PLC0415 - likewise

    # signed addresses name the region's own endpoint (the global one redirects, which a form cannot follow)
    signing = {"signature_version": "s3v4", "s3": {"addressing_style": "virtual"}} if service == "s3" else {}
    retries = {"mode": "standard", "total_max_attempts": 4}
    return boto3.client(service, config=Config(retries=retries, connect_timeout=3, read_timeout=30, **signing))
